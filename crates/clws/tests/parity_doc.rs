//! docs/parity.md: every test it names exists in the file it names, and every row names one or says
//! that it is open.

use std::fs;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).expect(name)
}

/// The links of a text: label and target.
fn links(text: &str) -> Vec<(&str, &str)> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let labels = text.split("](").map(|part| part.rsplit('[').next().unwrap_or_default());
    labels.zip(ends.map(|(target, _)| target)).collect()
}

/// The rows of all tables, by their cells; a `\|` is none of their borders.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    rows.filter(|line| !line.starts_with("| CLWS |"))
        .map(|line| {
            let line = line.replace("\\|", "/");
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// Whether a source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    source.split("#[test]").skip(1).any(|rest| {
        let mut lines = rest.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with("#["));
        let function = line.and_then(|line| line.strip_prefix("fn "));
        function.and_then(|rest| rest.split_once('(')).is_some_and(|(found, _)| found == name)
    })
}

#[test]
fn every_test_that_parity_names_exists() {
    let page = page("parity.md");
    let mut tests = 0;
    for (label, target) in links(&page).into_iter().filter(|(_, to)| !to.starts_with("http")) {
        let path = docs().join(target);
        assert!(path.exists(), "{target} does not exist");
        if path.extension().is_some_and(|ending| ending == "rs") {
            let source = fs::read_to_string(&path).expect(target);
            assert!(has_test(&source, label), "{target} has no test {label}");
            tests += 1;
        }
    }
    assert!(tests > 80, "the links were found: {tests}");
}

#[test]
fn every_row_of_parity_is_shown_or_open() {
    let rows = rows(&page("parity.md"));
    assert!(rows.len() > 35, "the rows were found: {}", rows.len());
    for cells in rows {
        let [original, here, shown] = &*cells else { panic!("three cells: {cells:?}") };
        assert!(!original.is_empty() && !here.is_empty());
        let open = shown == "open";
        let tests = links(shown).iter().any(|(_, target)| target.contains("/tests/"));
        assert!(open != tests, "{original}: {shown}");
    }
}

/// What it can't find it must miss.
#[test]
fn a_link_to_nothing_would_be_noticed() {
    let text = "[a](../x.rs), [b_c](../y/z.rs) and [words](https://example.com)";
    let expected = [("a", "../x.rs"), ("b_c", "../y/z.rs"), ("words", "https://example.com")];
    assert_eq!(links(text), expected);
    let source = "#[test]\nfn a_b() {}\nfn helper() {}\n    #[test]\n#[allow(x)]\n    fn c() {}";
    assert!(has_test(source, "a_b") && has_test(source, "c"));
    assert!(!has_test(source, "helper") && !has_test(source, "a") && !has_test(source, "b"));
    assert_eq!(rows("| CLWS | Here |\n|---|---|\n| a `x \\| y` | b |").len(), 1);
}
