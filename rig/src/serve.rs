//! The rig's own server: resources that `clws serve` has no use for, and limits by name.
//!
//! `/echo`; `/topic`, where what one says to nobody in particular goes to all who only listen;
//! `/big`, which answers every message with 1 MiB; `/close`, which closes whoever speaks.

use crate::Result;
use clws::{Client, CloseCode, Closed, Hosts, Limits, Origin, Reject, Resource, Server};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// `clws-rig serve ADDRESS [LIMIT=VALUE...]`: times in milliseconds, sizes in bytes.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (address, settings) = words.split_first().ok_or("no address")?;
    let mut limits = Limits::default();
    for setting in settings {
        set(&mut limits, setting)?;
    }
    let server = Server::builder()
        .limits(limits)
        .hosts(Hosts::any())
        .resource("/echo", Origin::any(), Echo)
        .resource("/topic", Origin::any(), Topic::default())
        .resource("/big", Origin::any(), Big(vec![0x5A; 1 << 20]))
        .resource("/close", Origin::any(), Close)
        .bind(address)
        .and_then(Server::start);
    let handle = server.map_err(|error| error.to_string())?;
    for address in handle.local_addresses() {
        println!("listening on http://{address}/");
    }
    handle.join();
    Ok(())
}

fn set(limits: &mut Limits, setting: &str) -> Result<()> {
    let unknown = || format!("no such limit: {setting}");
    let (name, value) = setting.split_once('=').ok_or_else(unknown)?;
    let time = value.parse().map(Duration::from_millis).map_err(|_| unknown())?;
    match name {
        "ping_interval" => limits.ping_interval = Some(time),
        "pong_timeout" => limits.pong_timeout = time,
        "message_timeout" => limits.message_timeout = time,
        "send_timeout" => limits.send_timeout = time,
        "min_drain_rate" => limits.min_drain_rate = Some(value.parse().map_err(|_| unknown())?),
        "socket_buffers" => limits.socket_buffers = Some(value.parse().map_err(|_| unknown())?),
        _ => return Err(unknown()),
    }
    Ok(())
}

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        client.send_binary(message);
    }
}

/// Everybody but the speaker listens.
#[derive(Default)]
struct Topic(Mutex<BTreeMap<u64, Client>>);

impl Topic {
    fn listeners(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resource for Topic {
    fn connected(&self, client: &Client) -> std::result::Result<(), Reject> {
        self.listeners().insert(client.id(), client.clone());
        Ok(())
    }

    fn binary(&self, speaker: &Client, message: &[u8]) {
        let mut listeners = self.listeners();
        listeners.remove(&speaker.id());
        clws::send_binary_to(listeners.values(), message);
    }

    fn disconnected(&self, client: &Client, _: &Closed) {
        self.listeners().remove(&client.id());
    }
}

struct Big(Vec<u8>);

impl Resource for Big {
    fn binary(&self, client: &Client, _: &[u8]) {
        client.send_binary(&self.0);
    }
}

struct Close;

impl Resource for Close {
    fn binary(&self, client: &Client, _: &[u8]) {
        client.close(CloseCode::NORMAL, "as asked");
    }
}
