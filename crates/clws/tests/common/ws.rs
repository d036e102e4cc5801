//! A client that others wrote: what it and the server agree on is the protocol, not a habit.

use super::raw::PATIENCE;
use std::net::{SocketAddr, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

pub type Ws = WebSocket<TcpStream>;

#[track_caller]
pub fn open(address: SocketAddr, path: &str) -> Ws {
    open_with(address, path, &[]).0
}

/// Connects with more headers; gives the answer too.
#[track_caller]
pub fn open_with(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (Ws, Response) {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    tungstenite::client(request, stream).expect("the handshake")
}

/// Reads until the connection is closed in order; gives the server's close frame.
#[track_caller]
pub fn closed(ws: &mut Ws) -> Option<CloseFrame> {
    let said = match ws.read().expect("a close frame") {
        Message::Close(said) => said,
        other => panic!("expected a close frame, got {other:?}"),
    };
    match ws.read() {
        Err(Error::ConnectionClosed) => said,
        other => panic!("expected the end, got {other:?}"),
    }
}
