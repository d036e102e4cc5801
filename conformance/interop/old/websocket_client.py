# -*- coding: utf-8 -*-
"""websocket-client 0.4 from PyPI, for Python 2.7: a blocking client of draft 76.

It names its own host as the origin, without a scheme.
"""

from __future__ import unicode_literals

import signal
import sys

import pkg_resources
import websocket

from common27 import MULTIBYTE, OPEN, PATIENCE, PLAIN, STRICT, Tally, equal, say, text

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 300 * 1024]
END = b"\xff\x00"

tally = Tally("websocket-client", pkg_resources.get_distribution("websocket-client").version)


def late(*_):
    raise AssertionError("nothing within %d s" % PATIENCE)


def check(name, run, *args):
    signal.alarm(PATIENCE)
    try:
        run(*args)
    except Exception as error:  # any kind of failure is the check's result
        tally.missed(name, error)
    else:
        tally.passed(name)
    signal.alarm(0)


def connect(server=OPEN, path="/echo"):
    return websocket.create_connection(str("ws://%s%s" % (server, path)))


def closed(peer):
    """The closing handshake by hand: the library's own hides how it went."""
    peer.sock.sendall(END)
    ended(peer)


def ended(peer):
    equal(peer.sock.makefile("rb").read(), END, "end")


def echoes(messages):
    peer = connect()
    for message in messages:
        peer.send(message)
        equal(peer.recv(), message, "echo")
    closed(peer)


def order():
    peer = connect()
    sent = [str(at) for at in range(100)]
    for message in sent:
        peer.send(message)
    equal([peer.recv() for _ in sent], sent, "echoes")
    closed(peer)


def own_close():
    peer = connect()
    peer.close()
    equal(peer.connected, False, "connected")
    echoes([b"the server goes on"])


def refused(status, server, path="/echo"):
    try:
        connect(server, path)
    except websocket.WebSocketException as refusal:
        equal(str(refusal), "Handshake Status %d" % status, "refusal")
    else:
        raise AssertionError("the handshake succeeded")


def many_keys():
    """The library draws its keys at random; each draw has its own spaces and rubbish."""
    for _ in range(100):
        closed(connect())


def shutdown():
    peers = [connect() for _ in range(3)]
    for peer in peers:
        peer.send(b"here")
        equal(peer.recv(), b"here", "echo")
    say("ready for shutdown")
    for peer in peers:
        ended(peer)


signal.signal(signal.SIGALRM, late)
for size in SIZES:
    check("text echo of %d bytes" % size, echoes, [text(size)])
check("multi-byte text", echoes, [MULTIBYTE, MULTIBYTE * 2000])
check("a hundred messages keep their order", order)
check("a hundred handshakes, each with other keys", many_keys)
check("the library's own close", own_close)
check("an origin without a scheme is refused with 403", refused, 403, STRICT)
check("an unknown path is refused with 404", refused, 404, OPEN, "/nowhere")
check("the handshake is refused with 400 where the draft is off", refused, 400, PLAIN)
check("SIGTERM closes every client", shutdown)
sys.exit(tally.finish())
