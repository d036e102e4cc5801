# -*- coding: utf-8 -*-
"""Autobahn 0.8 for Twisted as a client: RFC 6455, drafts 12 and 10 (version 8) and draft 76.

Draft 12 keeps the number of draft 10 but names the origin as RFC 6455 does.
"""

from __future__ import unicode_literals

import sys

from autobahn import __version__ as version
from autobahn.twisted.websocket import (
    WebSocketClientFactory, WebSocketClientProtocol, connectWS,
)
from twisted.internet import defer, reactor, task

from common27 import (
    BAD_ORIGIN, GOOD_ORIGIN, MULTIBYTE, OPEN, PATIENCE, PLAIN, STRICT, Tally, equal, octets, say,
    text,
)

FRAMED = {"RFC 6455": 18, "draft 12": 12, "draft 10": 10}
DRAFT76 = {"draft 76": 0}
DRAFTS = dict(FRAMED, **DRAFT76)
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 300 * 1024]
# In draft 76 this library takes neither an empty message nor one whose last byte, the mark, comes
# alone: what TCP may cut is left to other peers.
SIZES76 = [1, 125, 126, 127, 4096]

tally = Tally("autobahn", version)


class Refused(Exception):
    """The server's answer to the opening handshake, if not one that opens."""


class Peer(WebSocketClientProtocol):
    """One connection; what comes in waits for whoever asks."""

    def connectionMade(self):
        self.messages, self.pongs = defer.DeferredQueue(), defer.DeferredQueue()
        self.closed = defer.Deferred()
        WebSocketClientProtocol.connectionMade(self)

    def onOpen(self):
        self.factory.opened.callback(self)

    def onMessage(self, payload, isBinary):
        self.messages.put((payload, isBinary))

    def onPong(self, payload):
        self.pongs.put(payload)

    def onClose(self, wasClean, code, reason):
        if self.factory.opened.called:
            self.closed.callback((wasClean, code, reason))
        else:
            self.factory.opened.errback(Refused(self.http_response_data))


def connect(draft, path="/echo", server=OPEN, origin=None):
    factory = WebSocketClientFactory(str("ws://%s%s" % (server, path)), origin=origin)
    factory.protocol = Peer
    factory.setProtocolOptions(
        version=DRAFTS[draft], allowHixie76=True, openHandshakeTimeout=PATIENCE,
        closeHandshakeTimeout=PATIENCE, serverConnectionDropTimeout=PATIENCE,
    )
    factory.opened = defer.Deferred()
    connectWS(factory, timeout=PATIENCE)
    return factory.opened


@defer.inlineCallbacks
def check(name, run, *args):
    try:
        yield run(*args).addTimeout(PATIENCE, reactor)
    except Exception as error:  # any kind of failure is the check's result
        tally.missed(name, error)
    else:
        tally.passed(name)


@defer.inlineCallbacks
def closed_by_client(peer):
    """The server answers the close with its code and reason, where the draft has them."""
    framed = peer.websocket_version != 0
    peer.sendClose(1000, "thank you")
    clean, code, _ = yield peer.closed
    equal((clean, code), (True, 1000 if framed else None), "end")


@defer.inlineCallbacks
def echoes(draft, messages, binary, **options):
    peer = yield connect(draft)
    for message in messages:
        peer.sendMessage(message, isBinary=binary, **options)
        equal((yield peer.messages.get()), (message, binary), "echo")
    yield closed_by_client(peer)


@defer.inlineCallbacks
def order(draft):
    peer = yield connect(draft)
    sent = [str(at) for at in range(100)]
    for message in sent:
        peer.sendMessage(message)
    for message in sent:
        equal((yield peer.messages.get()), (message, False), "echo")
    yield closed_by_client(peer)


@defer.inlineCallbacks
def pings(draft):
    peer = yield connect(draft)
    for payload in [b"are you there?", b"x" * 125]:
        peer.sendPing(payload)
        equal((yield peer.pongs.get()), payload, "pong")
    yield closed_by_client(peer)


@defer.inlineCallbacks
def own_code(draft):
    peer = yield connect(draft)
    peer.sendClose(4321, "own reason")
    clean, code, _ = yield peer.closed
    equal((clean, code), (True, 4321), "end")


@defer.inlineCallbacks
def admitted(draft):
    peer = yield connect(draft, server=STRICT, origin=GOOD_ORIGIN)
    yield closed_by_client(peer)


@defer.inlineCallbacks
def refused(draft, status, words, **options):
    try:
        yield connect(draft, **options)
    except Refused as refusal:
        answer = refusal.args[0]
        equal(answer.split(b" ", 2)[1], status, "status")
        if words not in answer:
            raise AssertionError("no %r in %r" % (words, answer))
    else:
        raise AssertionError("the handshake succeeded")


@defer.inlineCallbacks
def chat():
    """What one says in any draft all hear; a binary message, those whose draft has such."""
    peers = {}
    for draft in sorted(DRAFTS):
        peers[draft] = yield connect(draft, "/chat")
        for peer in peers.values():
            joined, _ = yield peer.messages.get()
            equal(joined.split()[2], b"joined", "line")
    for draft, speaker in sorted(peers.items()):
        said = draft.encode("ascii") + b": " + MULTIBYTE
        if draft in FRAMED:
            speaker.sendMessage(octets(300), isBinary=True)
            for name in FRAMED:
                equal((yield peers[name].messages.get()), (octets(300), True), "binary")
        speaker.sendMessage(said)
        for peer in peers.values():
            heard, binary = yield peer.messages.get()
            equal((heard.split(b": ", 1)[1], binary), (said, False), "line")
    for peer in peers.values():
        yield closed_by_client(peer)


@defer.inlineCallbacks
def shutdown():
    peers = {}
    for draft in DRAFTS:
        peers[draft] = peer = yield connect(draft)
        peer.sendMessage(b"here")
        equal((yield peer.messages.get()), (b"here", False), "echo")
    say("ready for shutdown")
    for draft, peer in peers.items():
        clean, code, _ = yield peer.closed
        equal((clean, code), (True, 1001 if draft in FRAMED else None), "end of " + draft)


@defer.inlineCallbacks
def framed(draft):
    for size in SIZES:
        yield check("%s: text echo of %d bytes" % (draft, size), echoes, draft, [text(size)], False)
        yield check(
            "%s: binary echo of %d bytes" % (draft, size), echoes, draft, [octets(size)], True)
    yield check(
        draft + ": fragments become one message",
        lambda: echoes(draft, [text(7001), MULTIBYTE * 99], False, fragmentSize=100))
    yield check(draft + ": a ping with payload gets its pong", pings, draft)
    yield check(draft + ": a close code of the application comes back", own_code, draft)


@defer.inlineCallbacks
def main(_):
    for draft in sorted(FRAMED):
        yield framed(draft)
    yield check("draft 76: text echoes", echoes, "draft 76", map(text, SIZES76), False)
    for draft in sorted(DRAFTS):
        yield check(draft + ": multi-byte text", echoes, draft, [MULTIBYTE, MULTIBYTE * 99], False)
        yield check(draft + ": a hundred messages keep their order", order, draft)
        yield check(draft + ": the right origin is admitted", admitted, draft)
        yield check(
            draft + ": a wrong origin is refused with 403",
            lambda: refused(draft, b"403", b"", server=STRICT, origin=BAD_ORIGIN))
        yield check(
            draft + ": an unknown path is refused with 404",
            lambda: refused(draft, b"404", b"", path="/nowhere"))
    yield check(
        "draft 76 is refused where it is off, with the versions that are on",
        lambda: refused("draft 76", b"400", b"13, 8, 7", server=PLAIN))
    yield check("a chat across the drafts", chat)
    yield check("SIGTERM closes every client", shutdown)
    sys.exit(tally.finish())


task.react(main)
