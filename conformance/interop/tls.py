"""TLS as OpenSSL's `s_client` and curl see it: versions, names, sessions, what is no TLS."""

import os
import subprocess
import tempfile

from common import CA, OPEN, PATIENCE, Checks, equal, say
from rawpeer import CLOSE, PING, PONG, TEXT, Peer, frame, request

PLAIN = os.environ["CLWS_PLAIN"]
PORT = OPEN.rsplit(":", 1)[1]


def s_client(*options, send=b""):
    """What `s_client` says of a handshake, and what came back for `send`."""
    command = ["openssl", "s_client", "-connect", OPEN, "-CAfile", CA, "-verify_return_error"]
    run = subprocess.run([*command, *options], input=send, capture_output=True, timeout=PATIENCE)
    return run.stdout.decode("latin-1") + run.stderr.decode("latin-1")


def expect(said, *words):
    for word in words:
        if word not in said:
            raise AssertionError(f"no {word!r} in {said[-300:]!r}")


def handshake(version, name):
    upgrade = request("localhost", "/echo", {})
    said = s_client(version, "-servername", "localhost", "-alpn", "h2,http/1.1", "-ign_eof",
                    send=upgrade + frame(CLOSE, b"\x03\xe8"))
    expect(said, "Verify return code: 0", name, "ALPN protocol: http/1.1", "HTTP/1.1 101 ")


def resumed(version):
    with tempfile.NamedTemporaryFile() as session:
        answer = request("localhost", "/nowhere", {})
        first = s_client(version, "-sess_out", session.name, "-ign_eof", send=answer)
        expect(first, "New, TLSv1", "HTTP/1.1 404 ")
        again = s_client(version, "-sess_in", session.name, "-ign_eof", send=answer)
        expect(again, "Reused, TLSv1", "HTTP/1.1 404 ")


def refused(alert, *options):
    expect(s_client(*options).lower(), alert)


def curl(statuses, code, url, *options):
    """One of these exit statuses of curl's own, and the HTTP one."""
    command = ["curl", "--silent", "--http1.1", "--noproxy", "*", "--max-time", str(PATIENCE)]
    form = ["--output", os.devnull, "--write-out", "%{http_code} %{content_type}"]
    run = subprocess.run([*command, *form, *options, url], capture_output=True, text=True)
    if run.returncode not in statuses:
        raise AssertionError(f"exit status {run.returncode}")
    expect(run.stdout, code)


def ends_in_order():
    """The server says `close_notify`: Python takes any other end for an error."""
    with Peer(OPEN) as peer:
        peer.connection.suppress_ragged_eofs = False
        peer.send(frame(CLOSE, b"\x03\xe8"))
        equal(peer.receive()[1], CLOSE, "frame")
        peer.expect_end()


def cut_short():
    """An end amid a message is no reason for the server to answer it."""
    with Peer(OPEN) as peer:
        peer.send(frame(TEXT, b"x" * 3000)[:2000])
        peer.connection.unwrap()


def shutdown():
    with Peer(OPEN) as peer:
        peer.send(frame(PING, b"here"))
        equal(peer.receive(), (True, PONG, b"here"), "pong")
        say("ready for shutdown")
        peer.expect_close(1001)


version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()[1]
checks = Checks("openssl s_client and curl", version)
for option, name in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")]:
    checks.check(f"a WebSocket by {name}", handshake, option, name)
    checks.check(f"a session is resumed by {name}", resumed, option)
checks.check("TLS 1.1 is refused", refused, " alert ",
             "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
checks.check("a protocol other than http/1.1 is refused", refused, "alert no application protocol",
             "-alpn", "h2")
page = f"https://localhost:{PORT}/"
checks.check("curl gets the page", curl, [0], "200 text/html", page, "--cacert", CA)
checks.check("curl by TLS 1.2 too", curl, [0], "200", page, "--cacert", CA, "--tls-max", "1.2")
checks.check("curl does not trust the certificate by itself", curl, [60], "000", page)
# Curl takes the alert for an ancient answer.
checks.check("plain HTTP on the TLS port is closed", curl, [1, 52, 56], "000", f"http://{OPEN}/")
checks.check("TLS on the plain port is closed", curl, [35], "000", f"https://{PLAIN}/", "-k")
checks.check("a close ends with close_notify", ends_in_order)
checks.check("a stream may be cut short", cut_short)
checks.check("SIGTERM closes every client with 1001", shutdown)
checks.finish()
