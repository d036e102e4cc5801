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
    pub layer: Layer,
    /// The most CPU time clws may take per message, as a multiple of `bare`'s; with compression
    /// the least that the others must take, as a multiple of clws's.
    pub target: f64,
}

/// What is between the messages and the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Plain,
    Tls,
    /// permessage-deflate, with or without context takeover in both directions.
    Deflate {
        takeover: bool,
    },
}

/// A scenario's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioId {
    Small,
    Pipelined,
    Medium,
    Large,
    #[value(name = "json-1k")]
    Json1k,
    #[value(name = "json-64k")]
    Json64k,
    #[value(name = "json-1k-takeover")]
    Json1kTakeover,
    #[value(name = "json-64k-takeover")]
    Json64kTakeover,
}

/// The scenarios without TLS and compression, in the order they are run.
pub(crate) const PLAIN: [Scenario; 4] = [
    Scenario {
        id: ScenarioId::Small,
        title: "200 clients × 64 B",
        clients: 200,
        kind: Kind::Binary,
        payload: 64,
        in_flight: 1,
        layer: Layer::Plain,
        target: 1.10,
    },
    Scenario {
        id: ScenarioId::Pipelined,
        title: "200 clients × 64 B, 16 in flight",
        clients: 200,
        kind: Kind::Binary,
        payload: 64,
        in_flight: 16,
        layer: Layer::Plain,
        target: 1.20,
    },
    Scenario {
        id: ScenarioId::Medium,
        title: "50 clients × 16 KiB",
        clients: 50,
        kind: Kind::Binary,
        payload: 16 * 1024,
        in_flight: 1,
        layer: Layer::Plain,
        target: 1.10,
    },
    Scenario {
        id: ScenarioId::Large,
        title: "8 clients × 1 MiB of multi-byte text",
        clients: 8,
        kind: Kind::Text,
        payload: 1024 * 1024,
        in_flight: 1,
        layer: Layer::Plain,
        target: 1.35,
    },
];

/// The scenarios over TLS.
pub(crate) const TLS: [Scenario; 2] = [
    Scenario { title: "200 clients × 64 B over TLS", layer: Layer::Tls, target: 1.05, ..PLAIN[0] },
    Scenario {
        title: "50 clients × 16 KiB over TLS", layer: Layer::Tls, target: 1.05, ..PLAIN[2]
    },
];

/// The scenarios with permessage-deflate.
pub(crate) const DEFLATE: [Scenario; 4] = [
    JSON,
    Scenario {
        id: ScenarioId::Json64k,
        title: "20 clients × 64 KiB of JSON, compressed",
        clients: 20,
        payload: 64 * 1024,
        ..JSON
    },
    Scenario {
        id: ScenarioId::Json1kTakeover,
        title: "50 clients × 1 KiB of JSON, compressed with takeover",
        layer: Layer::Deflate { takeover: true },
        ..JSON
    },
    Scenario {
        id: ScenarioId::Json64kTakeover,
        title: "20 clients × 64 KiB of JSON, compressed with takeover",
        clients: 20,
        payload: 64 * 1024,
        layer: Layer::Deflate { takeover: true },
        ..JSON
    },
];

const JSON: Scenario = Scenario {
    id: ScenarioId::Json1k,
    title: "50 clients × 1 KiB of JSON, compressed",
    clients: 50,
    kind: Kind::Text,
    payload: 1024,
    in_flight: 1,
    layer: Layer::Deflate { takeover: false },
    target: 1.5,
};
