//! An echo server on `yawc`, over its `hyper` upgrade.
//!
//! The buffers are those of its own comparisons, the pool what its documentation advises for
//! connections without context takeover. Its DEFLATE is the zlib-rs that this program is built with.

use std::io::Result;
use std::net::SocketAddr;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use yawc::{CompressionLevel, DeflatePool, Frame, OpCode, Options, WebSocket, WebSocketError};

use super::{Deflate, MAX_MESSAGE, echo, serve_tasks};

pub(super) fn serve(address: SocketAddr, deflate: Deflate) -> Result<()> {
    let mut options = Options::default()
        .with_utf8()
        .with_limits(MAX_MESSAGE, 2 * MAX_MESSAGE)
        .with_read_buffer_capacity(128 * 1024)
        .with_backpressure_boundary(64 * 1024)
        .with_compression_level(CompressionLevel::new(deflate.level.into()))
        .with_compression_threshold(1024);
    if !deflate.takeover {
        options = options
            .server_no_context_takeover()
            .client_no_context_takeover()
            .with_deflate_pool(DeflatePool::new(64));
    }
    serve_tasks(address, move |stream| {
        let options = options.clone();
        async move {
            let service = service_fn(move |request| {
                let options = options.clone();
                async move { accept(request, options) }
            });
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // How one client left concerns nobody else.
            let _ = connection.await;
        }
    })
}

fn accept(
    request: Request<Incoming>,
    options: Options,
) -> std::result::Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = WebSocket::upgrade_with_options(request, options)?;
    tokio::task::spawn_local(tokio::task::unconstrained(async move {
        if let Ok(socket) = upgraded.await {
            let socket = futures_util::StreamExt::map(socket, Ok::<_, WebSocketError>);
            echo(socket, |frame: &Frame| matches!(frame.opcode(), OpCode::Text | OpCode::Binary))
                .await;
        }
    }));
    Ok(response)
}
