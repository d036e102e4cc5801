"""Versions 7 and 0 by hand over a plain socket: the drafts' own bytes, and frames of draft 76."""

from common import OPEN, equal
from rawpeer import Line, Peer

# draft-ietf-hybi-thewebsocketprotocol-07, section 1.2.
VERSION7 = (
    b"GET /chat HTTP/1.1\r\n"
    b"Host: server.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Origin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n"
    b"Sec-WebSocket-Version: 7\r\n\r\n"
)
# The same draft, section 1.3.
ACCEPT7 = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

# draft-hixie-thewebsocketprotocol-76, section 1.2.
DRAFT76 = (
    b"GET /demo HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
    b"Sec-WebSocket-Protocol: sample\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n"
    b"Origin: http://example.com\r\n\r\n"
    b"^n:ds[4U"
).replace(b"/demo", b"/echo")
ANSWER76 = b"8jKS'y:G*Co,Wxa-"

END = b"\xff\x00"


def swap(recorded, old, new):
    """`recorded` with one thing changed, which has to be there."""
    equal(recorded.count(old), 1, f"{old!r} in the recorded bytes")
    return recorded.replace(old, new)


class Version7(Peer):
    """An open connection of version 7; frames and masks are RFC 6455's."""

    def __init__(self, path=b"/echo", address=OPEN):
        super().__init__(address, swap(VERSION7, b"/chat", path))

    def exactly(self, wanted):
        """These very bytes come next."""
        equal(self.stream.read(len(wanted)), wanted, "bytes")


class Draft76(Line):
    """An open connection of draft 76; `pieces` are the writes its request goes out in."""

    def __init__(self, *pieces, address=OPEN):
        super().__init__(address, pieces or [DRAFT76])
        self.digest = self.stream.read(16) if self.status == 101 else None

    def send_text(self, message):
        self.send(b"\x00", message, b"\xff")

    def receive(self):
        """The next text message: `00`, the text, `FF`."""
        equal(self.stream.read(1), b"\x00", "type")
        message = bytearray()
        while (byte := self.stream.read(1)) != b"\xff":
            if not byte:
                raise AssertionError(f"the connection ended after {len(message)} bytes")
            message += byte
        return bytes(message)

    def expect_end(self):
        """The server's closing frame, the answer to it, and the end of TCP."""
        equal(self.stream.read(2), END, "closing frame")
        try:
            self.send(END)
            equal(self.stream.read(), b"", "after the closing frame")
        except ConnectionError:
            pass  # the server knows that no answer comes, or its end of TCP crossed the answer

    def close(self):
        self.send(END)
        equal(self.stream.read(), END, "the answer to the closing frame")
