//! What the tests about pages of docs/ share: a page's links and tables, and whether a source has
//! the test that a page names.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

pub fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).expect(name)
}

/// The links of a text: label and target.
pub fn links(text: &str) -> Vec<(&str, &str)> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let labels = text.split("](").map(|part| part.rsplit('[').next().unwrap_or_default());
    labels.zip(ends.map(|(target, _)| target)).collect()
}

/// The rows of all tables, by their cells; a `\|` is none of their borders. A table's head is none
/// of its rows.
pub fn rows(page: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = page.lines().collect();
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    let is_row =
        |at: usize, line: &str| line.starts_with('|') && !line.starts_with("|---") && !is_head(at);
    let rows = lines.iter().enumerate().filter(|(at, line)| is_row(*at, line));
    rows.map(|(_, line)| {
        let line = line.replace("\\|", "/");
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// Whether a source has a test of this name.
pub fn has_test(source: &str, name: &str) -> bool {
    source.split("#[test]").skip(1).any(|rest| {
        let mut lines = rest.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with("#["));
        let function = line.and_then(|line| line.strip_prefix("fn "));
        function.and_then(|rest| rest.split_once('(')).is_some_and(|(found, _)| found == name)
    })
}

/// Checks every link of a page that stays in this repository: its target exists, and has the test
/// that the label names where it is a source. A scenario of the rig is named `rig` and its id.
/// Gives the number of tests and scenarios.
#[track_caller]
pub fn check_links(page: &str) -> usize {
    let mut shown = 0;
    for (label, target) in links(page).into_iter().filter(|(_, to)| !to.starts_with("http")) {
        let path = docs().join(target);
        assert!(path.exists(), "{target} does not exist");
        if path.extension().is_some_and(|ending| ending == "rs") && !label.contains(".rs") {
            let source = fs::read_to_string(&path).expect(target);
            let found = match label.strip_prefix("rig ") {
                Some(id) => source.contains(&format!("id: \"{id}\"")),
                None => has_test(&source, label),
            };
            assert!(found, "{target} has no {label}");
            shown += 1;
        }
    }
    shown
}
