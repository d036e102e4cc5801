//! Command-line words of one chore: take the known ones, then refuse what is left over.

use crate::Result;

/// The words after the chore's name that nobody took yet.
#[derive(Debug)]
pub(crate) struct Args(Vec<String>);

impl Args {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        Self(words.collect())
    }

    /// Takes `name` out and says whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|word| word == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    /// Takes `name VALUE` out.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 == self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    /// Refuses words nobody took: a misspelt option must not pass for a default run.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(format!("unknown argument {word:?}")),
        }
    }

    /// All words left, for a program that parses them itself.
    pub(crate) fn rest(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn takes_flags_and_values_in_any_order() {
        let mut args = args("--url ws://a --full");
        assert!(args.flag("--full"));
        assert_eq!(args.value("--url").unwrap().as_deref(), Some("ws://a"));
        assert!(!args.flag("--full"));
        args.finish().unwrap();
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(args("--ful").finish().is_err());
        assert!(args("--url").value("--url").is_err());
    }
}
