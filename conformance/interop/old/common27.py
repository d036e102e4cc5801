# -*- coding: utf-8 -*-
"""What the Python 2.7 peers share: the lines that `cargo xtask interop` reads, and messages."""

from __future__ import print_function, unicode_literals

import sys

PATIENCE = 10
MULTIBYTE = "κόσμε, żółw, 日本語, 🐢🦀, \U0010ffff".encode("utf-8")

# Drafts on and any origin; drafts on and one origin; as it is by default.
OPEN, STRICT, PLAIN = [str(address) for address in sys.argv[1:4]]
GOOD_ORIGIN = str("https://good.example")
BAD_ORIGIN = str("https://good.example.evil.example")


def text(size):
    """Text of `size` bytes, every position telling."""
    return b"".join(chr(33 + at * 7 % 94).encode("ascii") for at in range(size))


def octets(size):
    """`size` bytes of every value."""
    return bytes(bytearray((at * 31 + (at >> 8)) & 255 for at in range(size)))


def say(line):
    print(line)
    sys.stdout.flush()


def equal(got, want, what):
    """Fails without printing a third of a mebibyte."""
    if got != want:
        raise AssertionError("%s: %.80r instead of %.80r" % (what, got, want))


class Tally(object):
    """Says how each check went."""

    def __init__(self, name, version):
        self.failed = 0
        say("peer %s %s" % (name, version))

    def passed(self, name):
        say("ok %s" % name)

    def missed(self, name, error):
        self.failed += 1
        why = ("%s %s" % (type(error).__name__, error)).replace("\n", " ")[:300]
        say("FAIL %s: %s" % (name, why))

    def finish(self):
        """The last line, and the exit code."""
        say("done")
        return 1 if self.failed else 0
