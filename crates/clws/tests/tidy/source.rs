//! A source as the rules see it: its code without comments and strings, its comments, the lengths
//! of its functions and the paths it names.

/// A source taken apart. `code` and `comments` have the lines of the text, with blanks for what
/// the other holds; strings and characters stand in neither.
pub(crate) struct Source {
    pub(crate) code: String,
    pub(crate) comments: String,
}

/// Which of the two a piece of text belongs to.
#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let mut source = Self { code: String::new(), comments: String::new() };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let in_word = source.code.ends_with(is_word);
            let (len, kind) = literal_or_comment(rest, in_word)
                .map_or((first.len_utf8(), Kind::Code), |(len, kind)| (len, kind));
            let (piece, after) = rest.split_at(len);
            source.push(piece, kind);
            rest = after;
        }
        source
    }

    fn push(&mut self, piece: &str, kind: Kind) {
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        for c in piece.chars() {
            self.code.push(if matches!(kind, Kind::Code) { c } else { blank(c) });
            self.comments.push(if matches!(kind, Kind::Comment) { c } else { blank(c) });
        }
    }

    /// Each function's first line and how many lines it has.
    pub(crate) fn functions(&self) -> Vec<(usize, usize)> {
        let mut functions = Vec::new();
        let mut start = 0;
        for (index, line) in self.code.split_inclusive('\n').enumerate() {
            if begins_function(line)
                && let Some(body) = block(&self.code, start)
            {
                let lines = self.code.get(start..body.1).unwrap_or_default().lines().count();
                functions.push((index + 1, lines));
            }
            start += line.len();
        }
        functions
    }

    /// Each path that is named outside tests, with its line: `use` trees are spread out, `super`
    /// and `self` are resolved from where `file` stands in its crate.
    pub(crate) fn paths(&self, file: &str) -> Vec<(usize, Vec<String>)> {
        let code = self.without_tests();
        let module = module_of(file);
        let mut paths = Vec::new();
        let mut at = 0;
        while let Some(word_at) = next_word(&code, at) {
            let line = code.get(..word_at).unwrap_or_default().matches('\n').count() + 1;
            let rest = code.get(word_at..).unwrap_or_default();
            let word = rest.split(|c| !is_word(c)).next().unwrap_or_default();
            if word == "use" {
                let end = rest.find(';').unwrap_or(rest.len());
                let tree: String = rest.get(3..end).unwrap_or_default().to_owned();
                spread(&tree, &[], &mut |path| paths.push((line, resolve(path, &module))));
                at = word_at + end;
            } else {
                let path = path_at(rest);
                at = word_at + path.len();
                let segments: Vec<String> =
                    path.split("::").map(|segment| segment.trim().to_owned()).collect();
                if segments.len() > 1 {
                    paths.push((line, resolve(segments, &module)));
                }
            }
        }
        paths
    }

    /// The code with blanks for every item that only tests compile.
    fn without_tests(&self) -> String {
        const MARK: &str = "#[cfg(test)]";
        let mut code = self.code.clone();
        while let Some(start) = code.find(MARK) {
            let semicolon = code.get(start..).and_then(|rest| rest.find(';')).map(|at| start + at);
            let end = match (block(&code, start), semicolon) {
                (Some((open, _)), Some(semicolon)) if semicolon < open => semicolon + 1,
                (Some((_, end)), _) => end,
                (None, Some(semicolon)) => semicolon + 1,
                (None, None) => code.len(),
            };
            let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
            let blanks: String = code[start..end].chars().map(blank).collect();
            code.replace_range(start..end, &blanks);
        }
        code
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the comment, string or character that `text` begins with.
fn literal_or_comment(text: &str, in_word: bool) -> Option<(usize, Kind)> {
    if text.starts_with("//") {
        return Some((text.find('\n').unwrap_or(text.len()), Kind::Comment));
    }
    if text.starts_with("/*") {
        return Some((block_comment(text), Kind::Comment));
    }
    if text.starts_with('\'') {
        return character(text).map(|len| (len, Kind::Literal));
    }
    if in_word {
        return None;
    }
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| {
        let after = text.strip_prefix(prefix).unwrap_or_default();
        after.starts_with('"')
            || (prefix.ends_with('r') && after.starts_with("#\""))
            || (prefix.ends_with('r') && after.starts_with("##\""))
    });
    let prefix = prefix.unwrap_or_default();
    let body = text.get(prefix.len()..).unwrap_or_default();
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = body.get(hashes + 1..)?;
        let len = inside.find(&end).map_or(inside.len(), |at| at + end.len());
        return Some((prefix.len() + hashes + 1 + len, Kind::Literal));
    }
    body.starts_with('"').then(|| (prefix.len() + string(body), Kind::Literal))
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// A character, or nothing for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (at, escape) = chars.next()?;
        let from = at + escape.len_utf8();
        return Some(from + text.get(from..)?.find('\'')? + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}

fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn begins_function(line: &str) -> bool {
    let qualifiers = ["const", "async", "unsafe", "extern", "default"];
    let mut words = line.split_whitespace();
    words.find(|word| !word.starts_with("pub") && !qualifiers.contains(word)) == Some("fn")
}

/// Where the first block after `from` begins and ends; none for an item that ends before it.
fn block(code: &str, from: usize) -> Option<(usize, usize)> {
    let mut depth = 0;
    let mut start = None;
    for (at, c) in code.get(from..)?.char_indices() {
        match c {
            '{' => {
                start.get_or_insert(from + at);
                depth += 1;
            }
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return Some((start?, from + at + 1));
                }
            }
            ';' if depth == 0 && !in_brackets(code.get(from..from + at)?) => return None,
            _ => {}
        }
    }
    None
}

/// Whether an array type is open, as in `[u8; 4]`.
fn in_brackets(code: &str) -> bool {
    code.matches('[').count() > code.matches(']').count()
}

fn next_word(code: &str, from: usize) -> Option<usize> {
    code.get(from..)?.find(is_word).map(|at| from + at)
}

/// The path that `text` begins with, such as `a::b`.
fn path_at(text: &str) -> &str {
    let mut end = 0;
    loop {
        let rest = text.get(end..).unwrap_or_default();
        end += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let after = text.get(end..).unwrap_or_default();
        match after.strip_prefix("::") {
            Some(next) if next.starts_with(is_word) => end += 2,
            _ => return text.get(..end).unwrap_or_default(),
        }
    }
}

/// Calls `found` with each path of a `use` tree.
fn spread(tree: &str, prefix: &[String], found: &mut dyn FnMut(Vec<String>)) {
    let tree = tree.trim().trim_start_matches("::");
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, group.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let head = head.split(" as ").next().unwrap_or_default();
    let mut path = prefix.to_vec();
    let segments = head.split("::").map(str::trim).filter(|segment| !segment.is_empty());
    path.extend(segments.map(str::to_owned));
    let Some(group) = group else {
        return found(path);
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group.get(start..at).unwrap_or_default();
                if !part.trim().is_empty() {
                    spread(part, &path, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Where a file stands in its crate: `src/session/live.rs` is `crate::session::live`.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.split_once("src/").map_or(file, |(_, inside)| inside);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let names = inside.split('/').filter(|name| !["mod", "lib", "main"].contains(name));
    std::iter::once("crate").chain(names).map(str::to_owned).collect()
}

fn resolve(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = match path.first().map(String::as_str) {
        Some("self" | "super") => module.to_vec(),
        _ => return path,
    };
    for segment in path {
        match &*segment {
            "self" => {}
            "super" => _ = base.pop(),
            _ => base.push(segment),
        }
    }
    base
}

/// Whether `path` is in the module, crate or item `forbidden`. A crate's name counts only at the
/// front, a longer one anywhere.
pub(crate) fn names(path: &[String], forbidden: &str) -> bool {
    let forbidden: Vec<&str> = forbidden.split("::").collect();
    let is_crate = forbidden.len() == 1 && forbidden.iter().all(|name| name.starts_with(is_lower));
    let windows = path.windows(forbidden.len()).take(if is_crate { 1 } else { usize::MAX });
    windows.into_iter().any(|window| window.iter().eq(&forbidden))
}

fn is_lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

/// Whether `word` stands in `line` by itself.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + word.len()..).unwrap_or_default();
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}
