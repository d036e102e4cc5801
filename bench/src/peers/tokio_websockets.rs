//! An echo server on `tokio-websockets`.

use std::io::Result;
use std::net::SocketAddr;

use tokio_websockets::{Config, Limits, Message, ServerBuilder};

use super::{MAX_MESSAGE, echo, serve_tasks};

pub(super) fn serve(address: SocketAddr) -> Result<()> {
    serve_tasks(address, |stream| async move {
        let accepted = ServerBuilder::new()
            .config(Config::default().frame_size(usize::MAX))
            .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)))
            .accept(stream)
            .await;
        if let Ok((_request, socket)) = accepted {
            echo(socket, |message: &Message| message.is_text() || message.is_binary()).await;
        }
    })
}
