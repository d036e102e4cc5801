"""The PyPI package `websockets` as a client, by its asyncio API.

Its blocking API would be simpler, but uses one TLS connection from two threads at once, which
OpenSSL does not allow: about one request in 250 never reaches the wire, whatever the server.
"""

import asyncio
from importlib.metadata import version

from common import (
    BAD_ORIGIN, GOOD_ORIGIN, MEBIBYTE, MULTIBYTE, OPEN, PATIENCE, S, SIZES, STRICT, TLS,
    Checks, equal, octets, say, text,
)
from websockets.asyncio.client import connect as library_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

ECHO = f"ws{S}://{OPEN}/echo"


LOOP = asyncio.new_event_loop()


def wait(step):
    return LOOP.run_until_complete(asyncio.wait_for(step, PATIENCE))


class Peer:
    """A connection whose calls wait for their end."""

    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, message, **options):
        wait(self.connection.send(message, **options))

    def recv(self):
        return wait(self.connection.recv())

    def ping(self, payload):
        """Until the pong has come."""

        async def round_trip():
            await (await self.connection.ping(payload))

        wait(round_trip())

    def close(self, *code_and_reason):
        wait(self.connection.close(*code_and_reason))


def connect(url=ECHO, **options):
    async def opened():
        return await library_connect(
            url, ssl=TLS, max_size=None, proxy=None, open_timeout=PATIENCE,
            close_timeout=PATIENCE, **options
        )

    return Peer(wait(opened()))


def closed_with(peer, code):
    """The server closed with `code` by a whole closing handshake."""
    try:
        while True:
            peer.recv()
    except ConnectionClosed as closed:
        equal(closed.rcvd and closed.rcvd.code, code, "close code received")
        equal(closed.sent and closed.sent.code, code, "close code sent")


def echoed(peer, message):
    peer.send(message)
    equal(peer.recv(), message, "echo")


def echo_once(message):
    with connect() as peer:
        echoed(peer, message)


def fragments(make):
    whole = make(70_000)
    cuts = [0, 0, 1, 127, 65_663, 70_000]
    with connect(compression=None) as peer:
        peer.send(whole[start:end] for start, end in zip(cuts, cuts[1:]))
        equal(peer.recv(), whole, "echo of fragments")


def cut_characters():
    with connect(compression=None) as peer:
        whole = MULTIBYTE.encode()
        peer.send((whole[at : at + 1] for at in range(len(whole))), text=True)
        equal(peer.recv(), MULTIBYTE, "echo of characters cut apart")


def pings():
    with connect() as peer:
        for payload in ["", "are you there?", "x" * 125]:
            peer.ping(payload)
        echoed(peer, "still here")


def close_of_client(code):
    peer = connect()
    echoed(peer, "before")
    peer.close(code, "thank you")
    closed_with(peer, code)


def invalid_utf8():
    peer = connect()
    peer.send(b"a\xed\xa0\x80", text=True)
    closed_with(peer, 1007)


def late_invalid_utf8():
    peer = connect(compression=None)
    try:
        peer.send((part for part in [b"fine ", b"\xf0\x9f", b"\x90", b" cut"]), text=True)
    except ConnectionClosed:
        pass  # the server may close before the last fragment is written
    closed_with(peer, 1007)


def too_long():
    peer = connect()
    peer.send(octets(MEBIBYTE + 1))
    closed_with(peer, 1009)


def refused(status, url, **options):
    try:
        connect(url, **options).close()
    except InvalidStatus as refusal:
        equal(refusal.response.status_code, status, "status")
    else:
        raise AssertionError("the handshake succeeded")


def admitted():
    connect(f"ws{S}://{STRICT}/echo", origin=GOOD_ORIGIN).close()


def shutdown():
    peers = [connect() for _ in range(3)]
    for peer in peers:
        echoed(peer, "here")
    say("ready for shutdown")
    for peer in peers:
        closed_with(peer, 1001)


checks = Checks("websockets", version("websockets"))
for size in SIZES:
    checks.check(f"text echo of {size} bytes", echo_once, text(size))
    checks.check(f"binary echo of {size} bytes", echo_once, octets(size))
checks.check("multi-byte text", echo_once, MULTIBYTE * 2000)
checks.check("text fragments become one message", fragments, text)
checks.check("binary fragments become one message", fragments, octets)
checks.check("fragments may cut characters apart", cut_characters)
checks.check("a ping with payload gets its pong", pings)
checks.check("the client's close is answered", close_of_client, 1000)
checks.check("a close code of the application comes back", close_of_client, 4321)
checks.check("invalid UTF-8 is answered with 1007", invalid_utf8)
checks.check("invalid UTF-8 across fragments is answered with 1007", late_invalid_utf8)
checks.check("a message of 1 MiB is echoed", echo_once, octets(MEBIBYTE))
checks.check("a message over 1 MiB is answered with 1009", too_long)
checks.check("an unknown path is refused with 404", refused, 404, f"ws{S}://{OPEN}/nowhere")
strict = f"ws{S}://{STRICT}/echo"
checks.check("a wrong Origin is refused with 403", lambda: refused(403, strict, origin=BAD_ORIGIN))
checks.check("the right Origin is admitted", admitted)
checks.check("SIGTERM closes every client with 1001", shutdown)
checks.finish()
