"""A client without a library: exact bytes by a socket, for what no library can send."""

import base64
import hashlib
import platform

from common import (
    BAD_ORIGIN, GOOD_ORIGIN, MEBIBYTE, OPEN, STRICT, Checks, equal, get, octets, say,
)
from rawpeer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Peer, answer_to, frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# RFC 6455, section 1.3, gives this answer to this key.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def handshake():
    status, headers = answer_to(OPEN, "/echo", {"Sec-WebSocket-Key": KEY})
    equal(status, 101, "status")
    equal(headers["sec-websocket-accept"], ACCEPT, "Sec-WebSocket-Accept")
    equal(headers["upgrade"].lower(), "websocket", "Upgrade")
    equal(headers["connection"].lower(), "upgrade", "Connection")


def slow_handshake():
    key = base64.b64encode(hashlib.md5(b"any").digest()).decode()
    status, _ = answer_to(OPEN, "/echo", {"Sec-WebSocket-Key": key}, piece=1)
    equal(status, 101, "status")


def refused(status, address, path, changes):
    equal(answer_to(address, path, changes)[0], status, "status")


def old_version():
    status, headers = answer_to(OPEN, "/echo", {"Sec-WebSocket-Version": "99"})
    if status not in (400, 426):
        raise AssertionError(f"status {status}")
    versions = headers.get("sec-websocket-version", "").replace(" ", "").split(",")
    if "13" not in versions:
        raise AssertionError(f"Sec-WebSocket-Version: {versions}")


def page():
    status, headers = get("/")
    equal(status, 200, "status")
    equal(headers.get_content_type(), "text/html", "type")


def plain_get():
    status, headers = get("/echo")
    equal(status, 426, "status")
    equal((headers["Upgrade"] or "").lower(), "websocket", "Upgrade")


def answered_with(codes, *frames):
    """These frames make the server close with one of `codes`, and then TCP."""
    with Peer(OPEN) as peer:
        peer.send(*frames)
        peer.expect_close(*codes)


def pong():
    with Peer(OPEN) as peer:
        peer.send(frame(PING, b"\x00\xffpayload"))
        equal(peer.receive(), (True, PONG, b"\x00\xffpayload"), "pong")


def ping_between_fragments():
    with Peer(OPEN) as peer:
        peer.send(frame(TEXT, b"one ", fin=False), frame(PING, b"p"))
        equal(peer.receive(), (True, PONG, b"p"), "pong")
        peer.send(frame(CONTINUATION, b"", fin=False), frame(CONTINUATION, b"two"))
        equal(peer.message(), (TEXT, b"one two"), "message")


def one_byte_writes():
    with Peer(OPEN) as peer:
        for byte in frame(TEXT, b"drop by drop", mask=b"\x00\x00\x00\x00"):
            peer.send(bytes([byte]))
        equal(peer.message(), (TEXT, b"drop by drop"), "message")


def many_in_one_write():
    with Peer(OPEN) as peer:
        wanted = [b"%d" % at for at in range(200)]
        peer.send(*(frame(TEXT, each) for each in wanted))
        equal([peer.message()[1] for _ in wanted], wanted, "messages")


def largest():
    with Peer(OPEN) as peer:
        peer.send(frame(BINARY, octets(MEBIBYTE)))
        equal(peer.message(), (BINARY, octets(MEBIBYTE)), "message")


def closing(payload):
    """The server answers a close frame with its code, then closes TCP."""
    with Peer(OPEN) as peer:
        peer.send(frame(CLOSE, payload))
        fin, opcode, answer = peer.receive()
        equal((fin, opcode), (True, CLOSE), "frame")
        equal(answer[:2], payload[:2], "code")
        peer.expect_end()


def shutdown():
    with Peer(OPEN) as idle, Peer(OPEN) as amid:
        amid.send(frame(TEXT, b"unfinished", fin=False))
        amid.send(frame(PING, b"here"))
        equal(amid.receive(), (True, PONG, b"here"), "pong")
        say("ready for shutdown")
        idle.expect_close(1001)
        amid.expect_close(1001)


def length(bits, declared):
    """The head of a masked binary frame whose length field says `declared`."""
    marker = {16: 126, 64: 127}[bits]
    return bytes([0x82, 0x80 | marker]) + declared.to_bytes(bits // 8, "big") + b"mask"


PROTOCOL_ERRORS = {
    "an unmasked frame": [frame(TEXT, b"bare", mask=None)],
    "a reserved opcode": [frame(3, b"")],
    "a reserved control opcode": [frame(11, b"")],
    "a reserved bit": [frame(TEXT, b"", rsv=0x20)],
    "a fragmented ping": [frame(PING, b"", fin=False)],
    "a ping of 126 bytes": [frame(PING, b"x" * 126)],
    "a continuation of nothing": [frame(CONTINUATION, b"")],
    "a message inside another": [frame(TEXT, b"", fin=False), frame(TEXT, b"")],
    "a close frame of one byte": [frame(CLOSE, b"\x03")],
    "a close code nobody may send": [frame(CLOSE, b"\x03\xed")],
    "a 16-bit length that fits into seven bits": [length(16, 125) + bytes(125)],
    "a 64-bit length that fits into 16 bits": [length(64, 126) + bytes(126)],
}
BAD_TEXT = {
    "a surrogate": [frame(TEXT, b"\xed\xa0\x80")],
    "an overlong form": [frame(TEXT, b"\xc0\xaf")],
    "a cut character at the end": [frame(TEXT, b"\xf0\x9f\x90")],
    "an unfinished message that is already wrong": [frame(TEXT, b"\xf5", fin=False)],
    "a bad close reason": [frame(CLOSE, b"\x03\xe8\xff")],
}
TOO_LONG = {
    "a 64-bit length that leaves out only the top bit": [length(64, (1 << 63) - 1)],
    "a declared length over 1 MiB": [length(64, MEBIBYTE + 1)],
    "fragments over 1 MiB in sum": [
        frame(BINARY, bytes(MEBIBYTE), fin=False), frame(CONTINUATION, b"x"),
    ],
}

checks = Checks("raw", f"sockets (Python {platform.python_version()})")
checks.check("the accept key is the RFC's", handshake)
checks.check("a handshake in one-byte writes", slow_handshake)
checks.check("an unknown path is refused with 404", refused, 404, OPEN, "/nowhere", {})
checks.check("a wrong Origin is refused with 403", refused, 403, STRICT, "/echo",
             {"Origin": BAD_ORIGIN})
checks.check("the right Origin is admitted", refused, 101, STRICT, "/echo",
             {"Origin": GOOD_ORIGIN})
checks.check("an unknown version is refused with the known ones", old_version)
checks.check("a handshake without a key is refused with 400", refused, 400, OPEN, "/echo",
             {"Sec-WebSocket-Key": None})
checks.check("the page at /", page)
checks.check("plain GET of a WebSocket resource is answered with 426", plain_get)
checks.check("a ping with payload gets its pong", pong)
checks.check("a ping between fragments", ping_between_fragments)
checks.check("a frame in one-byte writes", one_byte_writes)
checks.check("two hundred frames in one write", many_in_one_write)
checks.check("a message of 1 MiB is echoed", largest)
checks.check("a close is answered", closing, b"\x03\xe8thank you")
checks.check("a close without a code is answered", closing, b"")
checks.check("a close code of the application comes back", closing, b"\x10\xe1")
for code, cases in [(1002, PROTOCOL_ERRORS), (1007, BAD_TEXT), (1009, TOO_LONG)]:
    for name, frames in cases.items():
        checks.check(f"{name} is answered with {code}", answered_with, [code], *frames)
# Not a length at all, and too long as well: RFC 6455 does not say which weighs more.
checks.check("a length with the top bit set is answered with 1002 or 1009",
             answered_with, [1002, 1009], length(64, 1 << 63))
checks.check("SIGTERM closes every client with 1001", shutdown)
checks.finish()
