"""permessage-deflate (RFC 7692) with the PyPI package `websockets`: every offer it can make,
several at once too, against servers that are set differently."""

import itertools
import os
import random
import socket
from importlib.metadata import version

from common import ADDRESSES, MULTIBYTE, PATIENCE, Checks, equal, octets, say
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Offer
from websockets.sync.client import connect as library_connect

MAX_BITS = 15
WINDOWS = range(8, 16)
KNOWN = ['{"id":', '"user":', '"anna"', '"active":', "true", "false", "},", "17", "żółw"]
# Text that compresses, but not to nothing.
LONG = "".join(random.Random(7692).choices(KNOWN, k=15_000))
# More than a mebibyte, in a few kilobytes on the wire.
SWELLING = LONG * 20
# It compresses by itself, and the smallest window reaches from one to the next.
LINE = " ".join(2 * ["#".join(f"{at}{at * at * 7919 % 997}" for at in range(10))])


class Server:
    """Where a server is, and what its flags told it."""

    def __init__(self, address, flags):
        self.url = f"ws://{address}/echo"
        self.address, self.flags = address, flags
        words = flags.split()
        value = dict(zip(words[::2], words[1::2]))
        takeover = value.get("--deflate-takeover", "none")
        self.on = value.get("--deflate") != "off"
        self.server_forgets = takeover not in ("server", "both")
        self.client_forgets = takeover not in ("client", "both")
        self.bits = int(value.get("--deflate-window-bits", MAX_BITS))

    def answer(self, offers):
        """What the RFC makes of offers (section 7.1); no zlib compresses with 256 bytes."""
        offers = [offer for offer in offers if offer.server_max_window_bits != 8]
        if not self.on or not offers:
            return None
        offer, answer = offers[0], ["permessage-deflate"]
        if self.server_forgets or offer.server_no_context_takeover:
            answer.append("server_no_context_takeover")
        if self.client_forgets or offer.client_no_context_takeover:
            answer.append("client_no_context_takeover")
        if offer.server_max_window_bits or self.bits < MAX_BITS:
            bits = min(offer.server_max_window_bits or MAX_BITS, self.bits)
            answer.append(f"server_max_window_bits={bits}")
        # Only a client that says that it knows the parameter may be told.
        if offer.client_max_window_bits and self.bits < MAX_BITS:
            known = offer.client_max_window_bits
            bits = self.bits if known is True else min(known, self.bits)
            answer.append(f"client_max_window_bits={bits}")
        return "; ".join(answer)


class Counted(socket.socket):
    """A connection that knows how much went out and came in."""

    def __init__(self, address):
        super().__init__()
        host, port = address.rsplit(":", 1)
        self.connect((host, int(port)))
        self.sent = self.received = 0

    def sendall(self, data, *flags):
        self.sent += len(data)
        return super().sendall(data, *flags)

    def recv(self, *size):
        data = super().recv(*size)
        self.received += len(data)
        return data


class Peer:
    def __init__(self, server, *offers):
        self.socket = Counted(server.address)
        self.library = library_connect(
            server.url, sock=self.socket, extensions=offers, compression=None, max_size=None,
            proxy=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=PATIENCE,
        )
        self.agreed = self.library.response.headers.get("Sec-WebSocket-Extensions")

    def echoed(self, message, pieces=None):
        """Sends it, in pieces maybe; gives the bytes it took on the wire, out and back."""
        before = self.socket.sent, self.socket.received
        self.library.send(pieces or message)
        equal(self.library.recv(timeout=PATIENCE), message, "echo")
        return self.socket.sent - before[0], self.socket.received - before[1]


def compression(peer):
    """Both ways are compressed, or none is."""
    size = len(LONG.encode())
    for weight in peer.echoed(LONG):
        equal(weight < size / 2, peer.agreed is not None, f"compressed, {weight} of {size}")


def messages(peer):
    """Messages of all kinds."""
    compression(peer)
    for message in ["", MULTIBYTE, octets(300), octets(65_536), SWELLING, octets(7)]:
        peer.echoed(message)
    for whole in [LONG + LONG, octets(100_000)]:
        cuts = [0, 0, 1, 127, 65_663, len(whole)]
        peer.echoed(whole, (whole[start:end] for start, end in itertools.pairwise(cuts)))


def history(peer):
    """A message costs next to nothing when it comes again, if its sender keeps a history."""
    first, again = peer.echoed(LINE), peer.echoed(LINE)
    for side, before, after in zip(["client", "server"], first, again):
        forgets = f"{side}_no_context_takeover" in peer.agreed
        if not (after > 0.8 * before if forgets else after < 0.5 * before):
            raise AssertionError(f"{side}: {after} bytes after {before}")


def negotiated(server, offers, use):
    peer = Peer(server, *offers)
    with peer.library:
        equal(peer.agreed, server.answer(offers), "answer")
        use(peer)
        if peer.agreed:
            history(peer)


def shutdown():
    peers = [Peer(servers[0], Offer()) for _ in range(3)]
    for peer in peers:
        peer.echoed(LONG)
    say("ready for shutdown")
    for peer in peers:
        try:
            peer.library.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            equal(closed.rcvd and closed.rcvd.code, 1001, "close code")
        else:
            raise AssertionError("a message instead of the end")


servers = [Server(*one) for one in zip(ADDRESSES, os.environ["CLWS_FLAGS"].split("\n"))]
checks = Checks("websockets", f"{version('websockets')} with every deflate")
for server in servers:
    for takeover in itertools.product([False, True], repeat=2):
        forgets = "server {}, client {}".format(*takeover)
        checks.check(f"{server.flags}: no takeover of {forgets}", negotiated, server,
                     [Offer(*takeover)], messages)
        for bits in WINDOWS:
            checks.check(f"{server.flags}: no takeover of {forgets}, {bits} bits", negotiated,
                         server, [Offer(*takeover, bits, max(bits, 9))],
                         messages if bits < 10 else compression)
    both = [Offer(server_max_window_bits=8), Offer(server_max_window_bits=12), Offer()]
    checks.check(f"{server.flags}: the first good one of several offers", negotiated, server,
                 both, compression)
# Windows that differ, on the server that keeps both histories and on the one with small windows.
for server in servers:
    if server.on and not server.server_forgets and not server.client_forgets:
        for ours, theirs in itertools.product([None, *WINDOWS], [None, True, *WINDOWS[1:]]):
            checks.check(f"{server.flags}: server's {ours}, client's {theirs}", negotiated, server,
                         [Offer(False, False, ours, theirs)], compression)
checks.check("SIGTERM closes every client with 1001", shutdown)
checks.finish()
