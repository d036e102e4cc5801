//! docs/limits.md names every field of `Limits`, with the default the code has and says it has, and
//! with tests that it fires and that it does not.

mod pages;

use clws::Limits;
use pages::{check_links, links, rows};
use std::collections::BTreeMap;

const SOURCE: &str = include_str!("../src/limits.rs");
const TABLE: &str = include_str!("../../../docs/limits.md");

/// Fields by name, each with its default.
type Defaults = BTreeMap<String, String>;

/// The table's rows: the name in the first cell, the default in the second.
fn documented() -> Defaults {
    let rows = TABLE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, default, unit, effect] = cells[..] else { panic!("four cells: {row}") };
        assert!(!unit.is_empty() && !effect.is_empty(), "{row}");
        (name.trim_matches('`').to_owned(), default.trim_matches('`').to_owned())
    })
    .collect()
}

/// The fields as declared, with the default their doc comment ends in.
fn commented() -> Defaults {
    let (_, declared) = SOURCE.split_once("pub struct Limits {").expect("the struct");
    let (fields, _) = declared.split_once("\n}").expect("its end");
    let mut comment = String::new();
    let mut found = Defaults::new();
    for line in fields.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push_str(text);
            comment.push(' ');
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|l| l.split_once(':')) {
            let (_, default) = comment.split_once("Default ").expect("a default in each comment");
            let end = default.find([':', ';', '.']).expect("the end of a clause");
            found.insert(name.to_owned(), default[..end].trim_matches('`').to_owned());
            comment.clear();
        }
    }
    found
}

/// The fields as they print, which is the only way to name them all.
fn printed() -> Defaults {
    let printed = format!("{:?}", Limits::default());
    let fields = printed.strip_prefix("Limits { ").and_then(|text| text.strip_suffix(" }"));
    let fields = fields.expect("a derived Debug").split(", ");
    fields
        .map(|field| {
            let (name, value) = field.split_once(": ").expect("name and value");
            let value = value.strip_prefix("Some(").and_then(|v| v.strip_suffix(')'));
            let value = value.unwrap_or(field.split_once(": ").expect("as above").1);
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// `16 KiB` and `5 s` as they print: `16384` and `5s`.
fn as_printed(default: &str) -> String {
    let Some((number, unit)) = default.split_once(' ') else { return default.to_owned() };
    let bytes = |factor: usize| (number.parse::<usize>().expect("a number") * factor).to_string();
    match unit {
        "KiB" => bytes(1024),
        "MiB" => bytes(1024 * 1024),
        _ => format!("{number}{unit}"),
    }
}

#[test]
fn every_field_and_its_default_is_in_the_table() {
    assert_eq!(documented(), commented());
}

#[test]
fn every_default_is_what_it_is_said_to_be() {
    let said = documented().into_iter().map(|(name, default)| (name, as_printed(&default)));
    assert_eq!(said.collect::<Defaults>(), printed());
}

#[test]
fn every_limit_names_tests_that_it_fires_and_that_it_does_not() {
    let (_, tests) = TABLE.split_once("## Tests").expect("the section");
    let shown = check_links(tests);
    let rows: Vec<_> = rows(tests).into_iter().filter(|cells| cells.len() == 3).collect();
    let mut named: Vec<_> = rows.iter().map(|cells| cells[0].clone()).collect();
    named.sort();
    assert_eq!(named, printed().into_keys().collect::<Vec<_>>());
    for cells in &rows {
        assert!(!links(&cells[1]).is_empty() && !links(&cells[2]).is_empty(), "{}", cells[0]);
    }
    assert!(shown >= 2 * rows.len(), "the links were found: {shown}");
}
