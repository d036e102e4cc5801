//! The servers that clws is measured against: each echoes what it gets, on one thread.
//!
//! Each is written the way its crate's own examples and documentation say is fastest. They live in
//! this program and are started as processes of their own.

mod bare;
mod bare_tls;
mod broadcast;
mod clws_deflate;
mod fast_websockets;
mod sockudo;
mod tokio_tungstenite;
mod tokio_websockets;
mod yawc;

use std::io::Result;
use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// A server of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Bare,
    BareTls,
    TokioTungstenite,
    Fastwebsockets,
    TokioWebsockets,
    BroadcastBare,
    BroadcastClws,
    ClwsDeflate,
    SockudoWs,
    Yawc,
}

/// How servers compress, each in the same way.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Deflate {
    /// 0 to 9
    #[arg(long, default_value_t = 1)]
    pub level: u8,
    /// Context takeover in both directions
    #[arg(long)]
    pub takeover: bool,
}

/// Serves until the process is ended.
///
/// `many_clients` chooses small buffers where a crate's documentation advises them for that case.
pub(crate) fn serve(
    peer: Peer,
    address: SocketAddr,
    many_clients: bool,
    deflate: Deflate,
) -> Result<()> {
    match peer {
        Peer::Bare => bare::serve(address),
        Peer::BareTls => bare_tls::serve(address),
        Peer::TokioTungstenite => tokio_tungstenite::serve(address, many_clients),
        Peer::Fastwebsockets => fast_websockets::serve(address),
        Peer::TokioWebsockets => tokio_websockets::serve(address),
        Peer::BroadcastBare => broadcast::serve_bare(address),
        Peer::BroadcastClws => broadcast::serve_clws(address),
        Peer::ClwsDeflate => clws_deflate::serve(address, deflate),
        Peer::SockudoWs => sockudo::serve(address, deflate),
        Peer::Yawc => yawc::serve(address, deflate),
    }
}

/// The largest message the peers accept, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The most messages of one client that are read before the first is answered.
const AT_HAND: usize = 64;

/// Runs a task per client on a runtime of one thread, each without tokio's cooperative budget, as
/// the peers' own echo examples do.
fn serve_tasks<F>(address: SocketAddr, task: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = ()> + 'static,
{
    serve_tasks_on(Builder::new_current_thread().enable_io(), address, task)
}

/// The same on a runtime of the caller's.
fn serve_tasks_on<F>(
    runtime: &mut Builder,
    address: SocketAddr,
    task: impl Fn(TcpStream) -> F,
) -> Result<()>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = runtime.build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(tokio::task::unconstrained(task(stream)));
        }
    })
}

/// Sends every message for which `is_data` holds back, until the client leaves.
///
/// All messages at hand are read before any is sent and flushed once, so that what arrived together
/// leaves together.
async fn echo<S, M, E>(socket: S, is_data: impl Fn(&M) -> bool)
where
    S: Stream<Item = std::result::Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    let mut socket = socket.ready_chunks(AT_HAND);
    while let Some(messages) = socket.next().await {
        for message in messages {
            let Ok(message) = message else { return };
            if is_data(&message) && socket.get_mut().feed(message).await.is_err() {
                return;
            }
        }
        if socket.get_mut().flush().await.is_err() {
            return;
        }
    }
}

/// The next connection that waits, set up as all servers have them.
fn accept_next(listener: &std::net::TcpListener) -> Result<Option<std::net::TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
