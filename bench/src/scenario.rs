//! The echo scenarios and what clws has to reach in each.

use clap::ValueEnum;

use crate::wire::Kind;

/// How many clients send what, and how much of it at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub id: ScenarioId,
    pub title: &'static str,
    pub clients: usize,
    pub kind: Kind,
    /// Bytes of payload in each message.
    pub payload: usize,
    /// Messages a client has under way: written at once, and all answered before the next ones.
    pub in_flight: usize,
    /// The most CPU time clws may take per message, as a multiple of `bare`'s.
    pub target: f64,
}

/// A scenario's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioId {
    Small,
    Pipelined,
    Medium,
    Large,
}

/// All scenarios, in the order they are run.
pub(crate) const ALL: [Scenario; 4] = [
    Scenario {
        id: ScenarioId::Small,
        title: "200 clients × 64 B",
        clients: 200,
        kind: Kind::Binary,
        payload: 64,
        in_flight: 1,
        target: 1.10,
    },
    Scenario {
        id: ScenarioId::Pipelined,
        title: "200 clients × 64 B, 16 in flight",
        clients: 200,
        kind: Kind::Binary,
        payload: 64,
        in_flight: 16,
        target: 1.20,
    },
    Scenario {
        id: ScenarioId::Medium,
        title: "50 clients × 16 KiB",
        clients: 50,
        kind: Kind::Binary,
        payload: 16 * 1024,
        in_flight: 1,
        target: 1.10,
    },
    Scenario {
        id: ScenarioId::Large,
        title: "8 clients × 1 MiB of multi-byte text",
        clients: 8,
        kind: Kind::Text,
        payload: 1024 * 1024,
        in_flight: 1,
        target: 1.35,
    },
];
