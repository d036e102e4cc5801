//! Brings the Autobahn `TestSuite` into `target/autobahn`: Python 2.7 and pinned packages by pip.
//!
//! The suite never moved to Python 3, so it lives in an environment of [`python27`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cases::Case;
use crate::Result;
use crate::process::{self, root};
use crate::python27;

/// Prints the number of every case of the suite, one a line.
const LIST: &str = "\
from autobahntestsuite import case
base = case.CaseBasename
for c in case.Cases: print(c.__name__[len(base):].replace('_', '.'))
";

/// An installed suite.
#[derive(Debug)]
pub(super) struct Suite {
    environment: PathBuf,
}

impl Suite {
    /// The numbers of all its cases.
    pub(super) fn cases(&self) -> Result<BTreeSet<Case>> {
        let mut python = Command::new(self.environment.join("bin/python"));
        let listed = process::output(python.args(["-c", LIST]))?;
        listed.split_whitespace().map(str::parse).collect()
    }

    /// Its fuzzing client, told to follow `spec`.
    pub(super) fn fuzzing_client(&self, spec: &Path) -> Command {
        let mut client = Command::new(self.environment.join("bin/wstest"));
        client.args(["-m", "fuzzingclient", "-s"]).arg(spec);
        client
    }
}

/// Installs the suite below `dir`, unless the same packages are already there.
pub(super) fn suite(dir: &Path) -> Result<Suite> {
    let requirements = root().join("conformance/requirements27.txt");
    Ok(Suite { environment: python27::environment(dir, &requirements)? })
}
