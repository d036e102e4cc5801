//! docs/hostile-peers.md: every test and every scenario of the rig that it names exists, and there
//! is a row for each scenario, which names what shows it or says that it is open.

mod pages;

use pages::{check_links, docs, links, page, rows};
use std::fs;

/// The scenarios' groups, and how many there are in each.
const GROUPS: [(char, usize); 9] =
    [('A', 17), ('B', 11), ('C', 8), ('D', 8), ('E', 5), ('F', 4), ('G', 7), ('P', 4), ('J', 3)];

#[test]
fn every_test_that_the_page_names_exists() {
    let shown = check_links(&page("hostile-peers.md"));
    assert!(shown > 100, "the links were found: {shown}");
}

#[test]
fn every_scenario_has_one_row_that_is_shown_or_open() {
    let page = page("hostile-peers.md");
    let rows: Vec<_> = rows(&page).into_iter().filter(|cells| cells.len() == 4).collect();
    let ids: Vec<_> = rows.iter().map(|cells| cells[0].clone()).collect();
    let numbers = |(group, count)| (1..=count).map(move |number| format!("{group}{number}"));
    assert_eq!(ids, GROUPS.into_iter().flat_map(numbers).collect::<Vec<_>>());
    for cells in rows {
        let [id, peer, holds, shown] = &*cells else { panic!("four cells: {cells:?}") };
        assert!(!peer.is_empty() && !holds.is_empty(), "{id} says something");
        let open = shown == "open";
        assert!(open == links(shown).is_empty(), "{id}: {shown}");
    }
}

#[test]
fn every_scenario_of_the_rig_stands_in_its_row() {
    let page = page("hostile-peers.md");
    let mut scenarios = 0;
    for file in fs::read_dir(docs().join("../rig/src/scenarios")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for id in source.split("id: \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let row = page.lines().find(|line| line.starts_with(&format!("| {id} |")));
            assert!(row.is_some_and(|row| row.contains(&format!("[rig {id}]"))), "{id}");
            scenarios += 1;
        }
    }
    assert!(scenarios > 20, "the scenarios were found: {scenarios}");
}
