//! A WebSocket client made of bytes: it sends whatever it is told, legal or not, and reads what
//! comes back strictly. No WebSocket library can send illegal frames.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for what must happen; only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(50);

/// The sample key of RFC 6455 §1.3 and what answers it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const FIN: u8 = 0x80;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of the server: unmasked, without reserved bits, its length in shortest form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    #[track_caller]
    pub fn text(&self) -> &str {
        assert_eq!((self.fin, self.opcode), (true, TEXT), "{self:?}");
        str::from_utf8(&self.payload).expect("UTF-8")
    }

    /// The code and reason of a close frame; 1005 where it has none.
    #[track_caller]
    pub fn close(&self) -> (u16, &str) {
        assert_eq!((self.fin, self.opcode), (true, CLOSE), "{self:?}");
        match &*self.payload {
            [] => (1005, ""),
            [high, low, reason @ ..] => {
                (u16::from_be_bytes([*high, *low]), str::from_utf8(reason).expect("UTF-8"))
            }
            [_] => panic!("a close frame of one byte"),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

/// A plain HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A masked frame; `first` is the first byte: FIN, reserved bits, opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The header of a masked frame with the sample key.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(0x80 | len as u8),
        126..=65535 => {
            bytes.push(0xfe);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0xff);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// An opening handshake; `extra` are whole header lines with their line ends.
pub fn request(host: &str, path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

pub struct Raw {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server listens"))
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self { stream, received: Vec::new() }
    }

    /// Connects and does the opening handshake.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.upgrade(path, "");
        raw
    }

    /// The host and port the connection goes to, as a `Host` header has them.
    pub fn host(&self) -> String {
        self.stream.peer_addr().expect("a connection").to_string()
    }

    #[track_caller]
    pub fn upgrade(&mut self, path: &str, extra: &str) -> Answer {
        let request = request(&self.host(), path, extra);
        self.send(request.as_bytes());
        self.upgraded()
    }

    /// Reads the answer to an opening handshake, which must be a 101.
    #[track_caller]
    pub fn upgraded(&mut self) -> Answer {
        let answer = self.answer();
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.header("Sec-WebSocket-Accept"), Some(ACCEPT));
        answer
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes bytes");
    }

    #[track_caller]
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload));
    }

    #[track_caller]
    pub fn text(&mut self, text: &str) {
        self.send_frame(FIN | TEXT, text.as_bytes());
    }

    #[track_caller]
    pub fn close(&mut self, code: u16, reason: &str) {
        self.send_frame(FIN | CLOSE, &close_payload(code, reason));
    }

    /// Says that nothing more will be sent: FIN.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connection");
    }

    /// Receives more; an end where there is no more.
    #[track_caller]
    fn receive(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 * 1024];
        let received = loop {
            match self.stream.read(&mut buffer) {
                // Where a read has a time limit, a process that is stopped and goes on is told so.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        match received {
            Ok(0) => Err(End::Fin),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// Reads an HTTP answer, with as much body as it says it has.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let len: usize = answer.header("Content-Length").map_or(0, |len| len.parse().expect("len"));
        while self.received.len() < len {
            self.receive().expect("the whole body");
        }
        answer.body = String::from_utf8(self.received.drain(..len).collect()).expect("UTF-8");
        answer
    }

    /// Reads so many bytes, whatever they are.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            self.receive().expect("more bytes");
        }
        self.received.drain(..count).collect()
    }

    /// Reads an HTTP answer's head alone.
    #[track_caller]
    pub fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.received.drain(..at + 4).collect();
                return String::from_utf8(head).expect("UTF-8");
            }
            self.receive().expect("a whole head");
        }
    }

    /// Reads the next frame, or the end that comes instead of it.
    #[track_caller]
    pub fn try_frame(&mut self) -> Result<Frame, End> {
        loop {
            if let Some((frame, used)) = parse(&self.received) {
                self.received.drain(..used);
                return Ok(frame);
            }
            self.receive()?;
        }
    }

    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("a frame")
    }

    /// Reads a close frame and then the end; gives code and reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let frame = self.frame();
        let (code, reason) = frame.close();
        assert_eq!(self.end(), End::Fin, "after {frame:?}");
        (code, reason.to_owned())
    }

    /// Reads the end: nothing else may come before it.
    #[track_caller]
    pub fn end(&mut self) -> End {
        loop {
            assert_eq!(self.received, [], "more came");
            if let Err(end) = self.receive() {
                return end;
            }
        }
    }

    /// Reads the end, whatever comes before it.
    pub fn skip_to_end(&mut self) -> End {
        loop {
            self.received.clear();
            if let Err(end) = self.receive() {
                return end;
            }
        }
    }
}

#[track_caller]
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    assert_eq!(first & 0x70, 0, "a reserved bit is set");
    assert_eq!(second & 0x80, 0, "the server masks");
    let (len, rest) = match second {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = u64::from(u16::from_be_bytes(*len));
            assert!(len > 125, "length not in shortest form");
            (len, rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = u64::from_be_bytes(*len);
            assert!(len > 65535, "length not in shortest form");
            (len, rest)
        }
        short => (u64::from(short), rest),
    };
    let payload = rest.get(..usize::try_from(len).expect("a length"))?.to_vec();
    let used = bytes.len() - rest.len() + payload.len();
    Some((Frame { fin: first & FIN != 0, opcode: first & 0x0f, payload }, used))
}
