//! An echo server on `tokio-tungstenite`.

use std::io::Result;
use std::net::SocketAddr;

use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{MAX_MESSAGE, echo, serve_tasks};

pub(super) fn serve(address: SocketAddr, many_clients: bool) -> Result<()> {
    let mut config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    if many_clients {
        // The size its documentation names for many clients; the default is 128 KiB each.
        config = config.read_buffer_size(4 * 1024);
    }
    serve_tasks(address, move |stream| async move {
        if let Ok(socket) = accept_async_with_config(stream, Some(config)).await {
            echo(socket, |message: &Message| message.is_text() || message.is_binary()).await;
        }
    })
}
