//! docs/parity.md: every test it names exists in the file it names, and every row names one or says
//! that it is open.

mod pages;

use pages::{check_links, has_test, links, page, rows};

#[test]
fn every_test_that_parity_names_exists() {
    let tests = check_links(&page("parity.md"));
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
