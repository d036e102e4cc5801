//! The scenarios that need a server process, as docs/hostile-peers.md numbers them.
//!
//! Each has two halves: `run` conducts it and holds figures against bounds; `attack` is what its
//! attackers do, in a process of their own.

mod compression;
mod faults;
mod floods;
mod frames;
mod life;
mod link;
mod memory;
mod opening;
mod operation;
mod resources;
mod subscribers;

use crate::report::Outcome;
use crate::stage::Stage;
use crate::{Plan, Result};
use std::io;

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    pub(crate) run: fn(&Plan) -> Result<Outcome>,
    pub(crate) attack: Option<fn(&Stage) -> io::Result<()>>,
}

pub(crate) const SCENARIOS: [&Scenario; 32] = [
    &opening::A1,
    &opening::A2,
    &opening::A4,
    &opening::A16,
    &frames::B3,
    &frames::B4,
    &frames::B5,
    &compression::C2,
    &compression::C7,
    &compression::C8,
    &subscribers::D1,
    &subscribers::D2,
    &floods::D3,
    &floods::D4,
    &floods::D5,
    &floods::D7,
    &floods::D8,
    &link::E1,
    &life::E2,
    &life::E3,
    &life::E5,
    &resources::F1,
    &memory::F3,
    &resources::F4,
    &operation::G1,
    &operation::G2,
    &operation::G6,
    &opening::J2,
    &faults::P1,
    &faults::P2,
    &faults::P3,
    &faults::P4,
];
