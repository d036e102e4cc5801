"""WebSocket by hand over a plain socket: frames out as exact bytes, frames in as they are."""

import os
import socket
import struct

from common import PATIENCE, TLS, equal

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload, *, fin=True, rsv=0, mask=b"\x12\x34\x56\x78"):
    """One frame (RFC 6455, section 5.2); `mask=None` leaves it unmasked."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    flag = 0 if mask is None else 0x80
    if size < 126:
        head += bytes([flag | size])
    elif size < 65_536:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    keys = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ keys).to_bytes(size, "big")


def request(address, path, changes):
    """An opening handshake; a change to `None` leaves the header out."""
    headers = {
        "Host": address,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        **changes,
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def dial(address):
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TLS.wrap_socket(connection, server_hostname=host) if TLS else connection


def read_answer(stream):
    """Status and headers (names in lower case) of an HTTP answer."""
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, value = line.decode("latin-1").split(":", 1)
        headers[name.lower()] = value.strip()
    return status, headers


def answer_to(address, path, changes, piece=4096):
    """Sends an opening handshake, `piece` bytes a write, and returns the answer to it."""
    with dial(address) as connection, connection.makefile("rb") as stream:
        whole = request(address, path, changes)
        for at in range(0, len(whole), piece):
            connection.sendall(whole[at : at + piece])
        return read_answer(stream)


class Line:
    """A connection, its opening handshake sent by `pieces`, a write each."""

    def __init__(self, address, pieces):
        self.connection = dial(address)
        self.stream = self.connection.makefile("rb")
        for piece in pieces:
            self.connection.sendall(piece)
        self.status, self.headers = read_answer(self.stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.connection.close()

    def send(self, *frames):
        self.connection.sendall(b"".join(frames))


class Peer(Line):
    """An open connection to `/echo`."""

    def __init__(self, address, opening=None):
        super().__init__(address, [opening or request(address, "/echo", {})])
        equal(self.status, 101, "status")

    def receive(self):
        """The next frame: fin, opcode, payload. Servers don't mask and use no reserved bit."""
        first, second = self._exactly(2)
        equal(first & 0x70, 0, "reserved bits")
        size = second
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        equal(second & 0x80, 0, "mask bit")
        return bool(first & 0x80), first & 0x0F, self._exactly(size)

    def message(self):
        """The next message, of one frame or several: opcode, payload."""
        fin, opcode, payload = self.receive()
        while not fin:
            fin, continuation, more = self.receive()
            equal(continuation, CONTINUATION, "opcode")
            payload += more
        return opcode, payload

    def expect_close(self, *codes):
        """A close frame with one of `codes`; it gets its answer, and TCP ends."""
        _, opcode, payload = self.receive()
        equal(opcode, CLOSE, "opcode")
        (code,) = struct.unpack("!H", payload[:2])
        if code not in codes:
            raise AssertionError(f"close code {code} instead of {codes}")
        payload[2:].decode()
        try:
            self.send(frame(CLOSE, payload[:2], mask=os.urandom(4)))
        except ConnectionError:
            return  # after an error the server need not wait for the answer
        self.expect_end()

    def expect_end(self):
        try:
            equal(self.stream.read(1), b"", "after the close frame")
        except ConnectionResetError:
            pass  # the answer crossed the server's end of TCP

    def _exactly(self, size):
        got = self.stream.read(size)
        if len(got) < size:
            raise AssertionError(f"the connection ended after {len(got)} of {size} bytes")
        return got
