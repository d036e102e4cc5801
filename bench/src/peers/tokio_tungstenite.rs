//! An echo server on `tokio-tungstenite`.

use std::io::Result;
use std::net::SocketAddr;

use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{MAX_MESSAGE, echo, serve_tasks};

pub(super) fn serve(address: SocketAddr, many_clients: bool) -> Result<()> {
    // Its documentation names 4 KiB for many clients. For the others 16 KiB measured cheapest: the
    // default of 128 KiB for each client does not fit the cache.
    let read_buffer = if many_clients { 4 * 1024 } else { 16 * 1024 };
    let config = WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    serve_tasks(address, move |stream| async move {
        if let Ok(socket) = accept_async_with_config(stream, Some(config)).await {
            echo(socket, |message: &Message| message.is_text() || message.is_binary()).await;
        }
    })
}
