"""What the Python peers share: the lines that `cargo xtask interop` reads, and messages to send."""

import os
import ssl
import sys
import urllib.error
import urllib.request

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 300 * 1024]
MEBIBYTE = 1024 * 1024
MULTIBYTE = "κόσμε, żółw, 日本語, 🐢🦀, \U0010ffff"
PATIENCE = 10

ADDRESSES = sys.argv[1:]
OPEN, STRICT = ADDRESSES[:2]
# Whom to trust, where TLS is spoken.
CA = os.environ.get("CLWS_CA")
TLS = ssl.create_default_context(cafile=CA) if CA else None
S = "s" if CA else ""
GOOD_ORIGIN = "https://good.example"
BAD_ORIGIN = "https://good.example.evil.example"


def text(size):
    """Text of `size` bytes, every position telling."""
    return "".join(chr(33 + at * 7 % 94) for at in range(size))


def octets(size):
    """`size` bytes of every value."""
    return bytes((at * 31 + (at >> 8)) & 255 for at in range(size))


class Checks:
    """Runs checks one after the other and says how each went."""

    def __init__(self, name, version):
        self.failed = 0
        say(f"peer {name} {version}{' over TLS' if CA else ''}")

    def check(self, name, run, *args):
        try:
            run(*args)
        except Exception as error:  # any kind of failure is the check's result
            self.failed += 1
            why = f"{type(error).__name__} {error}".replace("\n", " ")[:300]
            say(f"FAIL {name}: {why}")
        else:
            say(f"ok {name}")

    def finish(self):
        say("done")
        sys.exit(1 if self.failed else 0)


def say(line):
    print(line, flush=True)


def equal(got, want, what):
    """Fails without printing a third of a mebibyte."""
    if got != want:
        raise AssertionError(f"{what}: {got!r:.80} instead of {want!r:.80}")


def get(path):
    """Status and headers of a plain GET."""
    try:
        with urllib.request.urlopen(
            f"http{S}://{OPEN}{path}", timeout=PATIENCE, context=TLS
        ) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers
