#![doc = include_str!("lib.md")]

mod addresses;
mod budget;
mod client;
mod drain;
mod encode;
mod engine;
mod error;
mod hosts;
mod hub;
mod limits;
mod listener;
mod metrics;
mod origin;
mod peer;
mod pending;
mod proxies;
mod request;
mod resource;
mod round;
mod routes;
mod scope;
mod send_queue;
mod sending;
mod server;
mod session;
mod shared_run;
mod ticks;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/off.rs"]
mod tls;
mod turns;

pub use client::Client;
pub use clws_proto::close::CloseCode;
pub use clws_proto::deflate::DeflateConfig;
pub use clws_proto::error::ProtocolError;
pub use clws_proto::handshake::{Headers, InvalidHeader, Response};
pub use clws_proto::text::Text;
pub use drain::{Drain, DrainReport, Draining};
pub use error::{Error, Result};
pub use hosts::Hosts;
pub use hub::OnPanic;
pub use limits::{Limits, SendPolicy};
pub use listener::{CallError, Listener, ListenerHandle, PostError, Queued, Receive};
pub use metrics::Metrics;
pub use origin::Origin;
pub use pending::Pending;
pub use request::Request;
pub use resource::{Accept, Cause, Closed, Reject, Resource};
pub use sending::{Broadcast, Dropped, Outcome, SendOptions};
pub use sending::{send_binary_to, send_binary_to_with};
pub use sending::{send_text_to, send_text_to_with, send_unread_to};
pub use server::{Connected, ResourceOptions, Server, ServerHandle};
#[cfg(feature = "tls")]
pub use tls::{ClientCertificates, Tls, TlsError, TlsInfo};

/// The pages whose code blocks are compiled.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/tutorial.md")]
    struct Tutorial;
    #[doc = include_str!("../../../docs/limits.md")]
    struct Limits;
    #[doc = include_str!("../../../docs/coming-from-clws.md")]
    struct ComingFromClws;
}
