"""Old drafts without a library: version 7's recorded bytes, and all of draft 76."""

import hashlib
import platform
import struct
import sys

from common import (
    BAD_ORIGIN, GOOD_ORIGIN, MEBIBYTE, MULTIBYTE, OPEN, SIZES, STRICT, Checks, equal, octets, say,
    text,
)
from drafts import ACCEPT7, ANSWER76, DRAFT76, VERSION7, Draft76, Version7, swap
from rawpeer import BINARY, CLOSE, CONTINUATION, TEXT, dial, frame, read_answer

# A server as it is by default: draft 76 is off.
PLAIN = sys.argv[3]
HELLO7 = bytes.fromhex("818537fa213d7f9f4d5158")
DEMO_KEYS = (b"4 @1  46546xW%0l 1 5", b"12998 5 Y3 1  .P00", b"^n:ds[4U")
# Draft 76: key 1, key 2, the eight bytes; the numbers in the keys; the answer.
EXAMPLES = {
    "section 1.2": (DEMO_KEYS, (829309203, 259970620), ANSWER76),
    "section 1.3": (
        (b"3e6b263  4 17 80", b"17  9 G`ZD9   2 2b 7X 3 /r90", b"WjN}|M(6"),
        (906585445, 179922739), b"n`9eBk9z$R8pOtVb",
    ),
    "section 5.2": (
        (b"18x 6]8vM;54 *(5:  {   U1]8  z [  8", b"1_ tx7X d  <  nw  334J702) 7]o}` 0",
         b"Tm[K T2u"),
        (155712099, 173347027), b"fQJ,fN/4F4!~K~MH",
    ),
}


def answer(address, *pieces):
    """Status and headers of the answer to an opening handshake in these writes."""
    with dial(address) as connection, connection.makefile("rb") as stream:
        for piece in pieces:
            connection.sendall(piece)
        return read_answer(stream)


def refused(status, address, recorded):
    equal(answer(address, recorded)[0], status, "status")


def single_bytes(recorded):
    return [recorded[at : at + 1] for at in range(len(recorded))]


def version7_handshake():
    status, headers = answer(OPEN, VERSION7)
    equal(status, 101, "status")
    equal(headers["sec-websocket-accept"], ACCEPT7, "Sec-WebSocket-Accept")
    equal(headers["upgrade"].lower(), "websocket", "Upgrade")
    equal(headers["connection"].lower(), "upgrade", "Connection")


def version7_cuts():
    for cut in range(1, len(VERSION7)):
        status, headers = answer(OPEN, VERSION7[:cut], VERSION7[cut:])
        equal((status, headers.get("sec-websocket-accept")), (101, ACCEPT7), f"cut at {cut}")
    equal(answer(OPEN, *single_bytes(VERSION7))[0], 101, "status")


def version7_frames():
    """The examples of section 4.7, masked where they come from a client."""
    with Version7() as peer:
        peer.send(HELLO7)
        peer.exactly(b"\x81\x05Hello")
        peer.send(frame(TEXT, b"Hel", fin=False), frame(CONTINUATION, b"lo"))
        equal(peer.message(), (TEXT, b"Hello"), "message")
        peer.send(b"\x89" + HELLO7[1:])
        peer.exactly(b"\x8a\x05Hello")
        peer.send(frame(BINARY, octets(256)))
        peer.exactly(b"\x82\x7e\x01\x00" + octets(256))
        peer.send(frame(BINARY, octets(65_536)))
        peer.exactly(b"\x82\x7f\0\0\0\0\0\x01\0\0" + octets(65_536))


def version7_echoes():
    with Version7() as peer:
        for size in SIZES:
            for opcode, message in [(TEXT, text(size).encode()), (BINARY, octets(size))]:
                peer.send(frame(opcode, message))
                equal(peer.message(), (opcode, message), f"echo of {size} bytes")
        peer.send(frame(TEXT, MULTIBYTE.encode()))
        equal(peer.message(), (TEXT, MULTIBYTE.encode()), "echo")


def version7_close():
    with Version7() as peer:
        peer.send(frame(CLOSE, b"\x03\xe8thank you"))
        _, opcode, payload = peer.receive()
        equal((opcode, payload[:2]), (CLOSE, b"\x03\xe8"), "frame")
        peer.expect_end()


def draft76_answer(keys, numbers, expected):
    computed = hashlib.md5(struct.pack("!II", *numbers) + keys[2]).digest()
    equal(computed, expected, "MD5 of the draft's numbers")
    recorded = DRAFT76
    for old, new in zip(DEMO_KEYS, keys):
        recorded = swap(recorded, old, new)
    with Draft76(recorded) as peer:
        equal((peer.status, peer.digest), (101, expected), "answer")
        equal(peer.headers["upgrade"], "WebSocket", "Upgrade")
        equal(peer.headers["connection"], "Upgrade", "Connection")
        equal(peer.headers["sec-websocket-origin"], "http://example.com", "origin")
        equal(peer.headers["sec-websocket-location"], "ws://example.com/echo", "location")


def draft76_cuts():
    whole = DRAFT76 + b"\x00\xc5\x82\xff"
    for cut in range(1, len(whole)):
        with Draft76(whole[:cut], whole[cut:]) as peer:
            equal((peer.digest, peer.receive()), (ANSWER76, b"\xc5\x82"), f"cut at {cut}")
            peer.close()
    with Draft76(*single_bytes(whole)) as peer:
        equal((peer.digest, peer.receive()), (ANSWER76, b"\xc5\x82"), "in single bytes")


def draft76_waits():
    """Without its last byte a handshake gets no answer; with it, all of it."""
    with dial(OPEN) as connection, connection.makefile("rb") as stream:
        connection.sendall(DRAFT76[:-1])
        with Draft76() as other:
            equal(other.digest, ANSWER76, "another client meanwhile")
        connection.setblocking(False)
        try:
            equal(connection.recv(1), None, "an answer too early")
        except BlockingIOError:
            pass
        connection.setblocking(True)
        connection.sendall(DRAFT76[-1:])
        equal(read_answer(stream)[0], 101, "status")


def draft76_echoes():
    with Draft76() as peer:
        for message in [*(text(size) for size in [*SIZES, MEBIBYTE]), MULTIBYTE]:
            peer.send_text(message.encode())
            equal(peer.receive(), message.encode(), f"echo of {len(message)}")
        peer.close()


def draft76_writes():
    with Draft76() as peer:
        for byte in single_bytes(b"\x00drop by drop\xff"):
            peer.send(byte)
        equal(peer.receive(), b"drop by drop", "message")
        wanted = [b"%d" % at for at in range(200)]
        peer.send(*(b"\x00" + each + b"\xff" for each in wanted))
        equal([peer.receive() for _ in wanted], wanted, "messages")


def draft76_unknown_frames():
    """Frames of other types are read to their end and dropped (section 5.3)."""
    with Draft76() as peer:
        peer.send(b"\x80\x03abc", b"\x80\x81\x00" + bytes(128), b"\x05text\xff")
        peer.send_text(b"goes on")
        equal(peer.receive(), b"goes on", "message")
        peer.close()


def draft76_fails(*frames):
    with Draft76() as peer:
        peer.send(*frames)
        peer.expect_end()


def draft76_origin():
    with Draft76(with_origin(DRAFT76, GOOD_ORIGIN), address=STRICT) as peer:
        equal((peer.status, peer.digest), (101, ANSWER76), "answer")
        equal(peer.headers["sec-websocket-origin"], GOOD_ORIGIN, "origin")
        peer.close()


def draft76_off():
    for recorded in [DRAFT76, DRAFT76[:-8]]:
        status, headers = answer(PLAIN, recorded)
        equal(status, 400, "status")
        equal(headers.get("sec-websocket-version"), "13, 8, 7", "versions")


def chat():
    """A line reaches both drafts, a binary message only the one that has such."""
    with Version7(b"/chat") as framed, Draft76(swap(DRAFT76, b"/echo", b"/chat")) as old:
        for heard in [framed.message()[1], framed.message()[1], old.receive()]:
            equal(heard.split()[2], b"joined", "line")
        framed.send(frame(BINARY, octets(300)), frame(TEXT, b"from 7"))
        equal(framed.message(), (BINARY, octets(300)), "binary message")
        equal(framed.message()[1].split(b": ")[1], b"from 7", "line")
        equal(old.receive().split(b": ")[1], b"from 7", "line")
        old.send_text(b"from 76")
        equal(framed.message()[1].split(b": ")[1], b"from 76", "line")
        equal(old.receive().split(b": ")[1], b"from 76", "line")


def shutdown():
    with Version7() as framed, Draft76() as idle, Draft76() as amid:
        amid.send(b"\x00here\xff\x00unfinished")
        equal(amid.receive(), b"here", "echo")
        say("ready for shutdown")
        framed.expect_close(1001)
        idle.expect_end()
        amid.expect_end()


def with_origin(recorded, origin):
    return swap(recorded, b"http://example.com", origin.encode())


ODD = {
    "digits without a space": b"41465465015",
    "a number that the spaces don't divide": b"4 1 1",
    "a number over 32 bits": b"99999999999 9",
}

checks = Checks("raw", f"sockets in old drafts (Python {platform.python_version()})")
checks.check("version 7: the draft's handshake", version7_handshake)
checks.check("version 7: a handshake cut at every byte", version7_cuts)
checks.check("version 7: the draft's frames", version7_frames)
checks.check("version 7: echoes of every size", version7_echoes)
checks.check("version 7: a close is answered", version7_close)
checks.check("version 7: the right origin is admitted", refused, 101, STRICT,
             with_origin(VERSION7, GOOD_ORIGIN))
checks.check("version 7: a wrong origin is refused with 403", refused, 403, STRICT,
             with_origin(VERSION7, BAD_ORIGIN))
for section, example in EXAMPLES.items():
    checks.check(f"draft 76: the answer of {section}", draft76_answer, *example)
checks.check("draft 76: a handshake cut at every byte", draft76_cuts)
checks.check("draft 76: an unfinished handshake waits", draft76_waits)
checks.check("draft 76: echoes of every size", draft76_echoes)
checks.check("draft 76: frames in one-byte writes and many in one", draft76_writes)
checks.check("draft 76: frames of unknown types are dropped", draft76_unknown_frames)
checks.check("draft 76: invalid UTF-8 ends the connection", draft76_fails, b"\x00\xed\xa0\x80\xff")
checks.check("draft 76: a message over 1 MiB ends the connection", draft76_fails,
             b"\x00", bytes(MEBIBYTE + 1))
checks.check("draft 76: the right origin is admitted", draft76_origin)
checks.check("draft 76: a wrong origin is refused with 403", refused, 403, STRICT,
             with_origin(DRAFT76, BAD_ORIGIN))
for what, key in ODD.items():
    checks.check(f"draft 76: {what} is refused with 400", refused, 400, OPEN,
                 swap(DRAFT76, DEMO_KEYS[0], key))
checks.check("draft 76 is refused where it is off, with the versions that are on", draft76_off)
checks.check("a chat between version 7 and draft 76", chat)
checks.check("SIGTERM closes every client", shutdown)
checks.finish()
