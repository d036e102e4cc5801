//! An echo server on `fastwebsockets`, over its `hyper` upgrade.

use std::io::Result;
use std::net::SocketAddr;

use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::{MAX_MESSAGE, serve_tasks};

pub(super) fn serve(address: SocketAddr) -> Result<()> {
    serve_tasks(address, |stream| async move {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(accept))
            .with_upgrades();
        // How one client left concerns nobody else.
        let _ = connection.await;
    })
}

async fn accept(
    mut request: Request<Incoming>,
) -> std::result::Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    tokio::task::spawn_local(tokio::task::unconstrained(echo(upgraded)));
    Ok(response)
}

async fn echo(upgraded: upgrade::UpgradeFut) -> std::result::Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    socket.set_max_message_size(MAX_MESSAGE);
    socket.set_auto_apply_mask(true);
    socket.set_writev(true);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
