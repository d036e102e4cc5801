//! The servers that clws is measured against: each echoes what it gets, on one thread.
//!
//! Each is written the way its crate's own examples and documentation say is fastest. They live in
//! this program and are started as processes of their own.

mod bare;
mod fast_websockets;
mod tokio_tungstenite;
mod tokio_websockets;

use std::future::poll_fn;
use std::io::Result;
use std::net::SocketAddr;
use std::task::{Poll, ready};

use clap::ValueEnum;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};

/// A server of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Bare,
    TokioTungstenite,
    Fastwebsockets,
    TokioWebsockets,
}

/// Serves until the process is ended.
///
/// `many_clients` chooses small buffers where a crate's documentation advises them for that case.
pub(crate) fn serve(peer: Peer, address: SocketAddr, many_clients: bool) -> Result<()> {
    match peer {
        Peer::Bare => bare::serve(address),
        Peer::TokioTungstenite => tokio_tungstenite::serve(address, many_clients),
        Peer::Fastwebsockets => fast_websockets::serve(address),
        Peer::TokioWebsockets => tokio_websockets::serve(address),
    }
}

/// The largest message the peers accept, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Runs a task per client on a runtime of one thread, each without tokio's cooperative budget, as
/// the peers' own echo examples do.
fn serve_tasks<F>(address: SocketAddr, task: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
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
/// Writes are flushed when no further message is at hand, so that messages that arrived together
/// leave together.
async fn echo<S, M, E>(mut socket: S, is_data: impl Fn(&M) -> bool)
where
    S: Stream<Item = std::result::Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    let mut unflushed = false;
    while let Some(Ok(message)) = poll_fn(|context| {
        let next = socket.poll_next_unpin(context);
        if next.is_pending() && unflushed {
            if ready!(socket.poll_flush_unpin(context)).is_err() {
                return Poll::Ready(None);
            }
            unflushed = false;
        }
        next
    })
    .await
    {
        if is_data(&message) {
            unflushed = true;
            if socket.feed(message).await.is_err() {
                break;
            }
        }
    }
}
