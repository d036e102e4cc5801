//! An echo server on `sockudo-ws`, by its own handshake, as its servers and examples do it.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use sockudo_ws::deflate::negotiate_server_deflate;
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{CompressedWebSocketStream, Config, DeflateConfig, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use super::{Deflate, MAX_MESSAGE, echo, serve_tasks_on};

pub(super) fn serve(address: SocketAddr, deflate: Deflate) -> Result<()> {
    let policy = DeflateConfig {
        server_no_context_takeover: !deflate.takeover,
        client_no_context_takeover: !deflate.takeover,
        compression_level: deflate.level.into(),
        compression_threshold: 1024,
        ..DeflateConfig::default()
    };
    let config = Config::builder()
        .validate_text_utf8(true)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .build();
    // Its sockets have timers.
    let mut runtime = Builder::new_current_thread();
    serve_tasks_on(runtime.enable_all(), address, move |mut stream| {
        let (policy, config) = (policy.clone(), config.clone());
        async move {
            let Ok((agreed, rest)) = open(&mut stream, &policy).await else { return };
            let socket =
                CompressedWebSocketStream::server_with_leftover(stream, config, agreed, Some(rest));
            echo(socket, |message: &Message| {
                matches!(message, Message::Text(_) | Message::Binary(_))
            })
            .await;
        }
    })
}

/// The opening handshake; gives what was agreed and the bytes behind the request.
async fn open(stream: &mut TcpStream, policy: &DeflateConfig) -> Result<(DeflateConfig, Bytes)> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let parsed = parse_request(&buffer).map_err(Error::other)?;
        let Some((request, used)) = parsed else { continue };
        let agreed = negotiate_server_deflate(request.extensions.unwrap_or_default(), policy);
        let agreed = agreed.ok_or(ErrorKind::Unsupported)?;
        let key = generate_accept_key(request.key);
        let response = build_response(&key, None, Some(&agreed.to_response_header()));
        stream.write_all(&response).await?;
        return Ok((agreed.config, buffer.split_off(used).freeze()));
    }
}
