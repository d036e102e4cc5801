"""nginx and HAProxy before the server, set up by the very lines of docs/behind-a-proxy.md.

`cargo xtask proxies` runs this as root, in a network and a mount namespace of its own, so that the
page's addresses and paths can be used as they stand. Each way through a proxy is tried by clients
from several addresses; each may connect once (`--max-per-address 1`), which is how it shows whose
address the server believes it sees. Arguments: the server's binary, the page, a folder to write to.
"""

import os
import re
import shlex
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

BINARY, PAGE, OUT = sys.argv[1:4]
# What the shared modules want of their own arguments.
sys.argv[1:] = ["", ""]
from common import PATIENCE, Checks, equal, octets, text  # noqa: E402
from rawpeer import BINARY as BINARY_FRAME  # noqa: E402
from rawpeer import CLOSE, PING, PONG, TEXT, Peer, frame, read_answer, request  # noqa: E402

PROXY, SERVER = "192.0.2.1", "192.0.2.10"
CLIENTS = [f"198.51.100.{number}" for number in range(1, 21)]
# What the proxies allow an idle connection, and how often the server pings: as 60 s to 25 s.
IDLE = "2s"
EXTRA = ["--max-per-address", "1", "--ping-interval", "800ms", "--log", "debug"]


def block(section, language):
    """The first block of code in `language` of the page's section that begins so."""
    with open(PAGE, encoding="utf-8") as page:
        body = page.read().split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    return re.search(rf"```{language}\n(.*?)```", body, re.DOTALL).group(1)


NGINX = block("nginx", "nginx")
HAPROXY = block("HAProxy", "text")


def nginx_config(folder):
    paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in paths)
    by_tcp = NGINX.replace("http://unix:/run/clws/clws.sock", "http://127.0.0.1:12345")
    equal(by_tcp == NGINX, False, "the socket stands in the page")
    return f"""
user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off; {paths}
    proxy_read_timeout {IDLE}; proxy_send_timeout {IDLE};
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    server {{ listen {PROXY}:80; listen {PROXY}:443 ssl; {NGINX} }}
    server {{ listen {PROXY}:81; {by_tcp} }}
}}
"""


def haproxy_config(folder):
    version_1 = HAPROXY.replace("send-proxy-v2", "send-proxy")
    equal(version_1 == HAPROXY, False, "the version stands in the page")
    by_tls = HAPROXY.replace(":12345", ":12346")
    ways = [
        ("v2", f"{PROXY}:9002", HAPROXY.rstrip() + " check inter 200ms"),
        ("v1", f"{PROXY}:9001", version_1),
        ("tls", f"{PROXY}:9443", by_tls),
        ("wss", f"{PROXY}:9444 ssl crt {folder}/both.pem", HAPROXY),
    ]
    listen = "".join(f"listen {name}\n bind {at}\n {line.strip()}\n" for name, at, line in ways)
    return f"""
defaults
 mode tcp
 source {PROXY}
 timeout connect {IDLE}
 timeout client {IDLE}
 timeout server {IDLE}
{listen}"""


class Programs:
    """What runs beside this script; all of it ends with it."""

    def __init__(self):
        self.running = []

    def start(self, name, *command):
        with open(f"{OUT}/{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def serve(self, name, command, *more):
        """The server as the page starts it."""
        words = shlex.split(command)
        equal(words[0], "clws", "what the page runs")
        return self.start(name, BINARY, *words[1:], *EXTRA, *more)

    def end(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(PATIENCE)


class Way:
    """One way through a proxy; `crowded` is what one client too many gets."""

    def __init__(self, name, port, crowded, tls=False):
        self.name, self.port, self.crowded, self.tls = name, port, crowded, tls

    def open(self, source, changes=None):
        return Client(self, source, changes or {})

    def rejects(self, source, changes=None):
        try:
            with self.open(source, changes) as client:
                return client.status == self.crowded
        except (ConnectionError, IndexError, ssl.SSLError):
            return self.crowded is None


class Client(Peer):
    """A client of `/chat` at an address of its own, as a browser on the chat's own page."""

    def __init__(self, way, source, changes):
        self.connection = socket.create_connection(
            (PROXY, way.port), timeout=PATIENCE, source_address=(source, 0)
        )
        if way.tls:
            context = ssl._create_unverified_context()
            self.connection = context.wrap_socket(self.connection, server_hostname="chat.example")
        self.stream = self.connection.makefile("rb")
        origin = f"http{'s' if way.tls else ''}://chat.example"
        headers = {"Origin": origin, **changes}
        self.connection.sendall(request("chat.example", "/chat", headers))
        self.status, self.headers = read_answer(self.stream)

    def said(self):
        """The next message; pings are answered, and what the chat says of others is left out."""
        while True:
            _, opcode, payload = self.receive()
            if opcode == PING:
                self.send(frame(PONG, payload))
            elif not payload.startswith(b"* "):
                return opcode, payload

    def is_pinged(self):
        """Whatever the others say meanwhile."""
        opcode = TEXT
        while opcode == TEXT:
            _, opcode, payload = self.receive()
        equal(opcode, PING, "what comes unasked")
        self.send(frame(PONG, payload))

    def talks(self):
        own = self.connection.getsockname()[0].encode()
        self.send(frame(TEXT, own))
        payload = b""
        while not payload.endswith(b": " + own):
            opcode, payload = self.said()
            equal(opcode, TEXT, "what others say")


def await_that(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.05)


def both_ways(way):
    with way.open(CLIENTS[0]) as client:
        equal(client.status, 101, "status")
        for size in [0, 125, 65_536, 300 * 1024]:
            client.send(frame(TEXT, text(size).encode()))
            equal(client.said()[1].split(b": ", 1)[1], text(size).encode(), f"{size} bytes")
            client.send(frame(BINARY_FRAME, octets(size)))
            equal(client.said(), (BINARY_FRAME, octets(size)), f"{size} bytes")


def addresses(way):
    await_that(lambda: not way.rejects(CLIENTS[1]), "the address has no other client")
    with way.open(CLIENTS[2]) as client, way.open(CLIENTS[3]) as other:
        equal((client.status, other.status), (101, 101), "clients at two addresses")
        equal(way.rejects(CLIENTS[2]), True, "a second client at an address is rejected")
        lie = {"X-Forwarded-For": "203.0.113.9"}
        equal(way.rejects(CLIENTS[2], lie), True, "whatever it says of its address")
        client.talks()
    await_that(lambda: not way.rejects(CLIENTS[2]), "its place is free again")


def closing_handshake(way):
    with way.open(CLIENTS[4]) as client:
        client.send(frame(CLOSE, struct.pack("!H", 3000) + b"bye"))
        opcode, payload = client.said()
        equal((opcode, payload[:2]), (CLOSE, struct.pack("!H", 3000)), "answer")
        client.expect_end()


def outlives_idling(way, source):
    """Its pings carry the server's client over what the proxy allows idle connections."""
    with way.open(source) as client:
        for _ in range(5):
            client.is_pinged()
        client.talks()


def together(run, ways, sources):
    """Runs for all ways at once, as it takes long."""
    with ThreadPoolExecutor(len(ways)) as pool:
        for way, done in [(way, pool.submit(run, way, at)) for way, at in zip(ways, sources)]:
            try:
                done.result()
            except Exception as error:
                raise AssertionError(f"{way.name}: {error}") from error


def stops(server, ways):
    """SIGTERM reaches clients behind the proxy as 1001."""
    clients = [way.open(source) for way, source in zip(ways, CLIENTS[12:])]
    server.send_signal(signal.SIGTERM)
    for client in clients:
        _, payload = client.said()
        equal(payload[:2], struct.pack("!H", 1001), "close code")
        client.send(frame(CLOSE, payload[:2]))
        client.expect_end()
    equal(server.wait(PATIENCE), 0, "exit code")


def make_certificate():
    made = ["-keyout", f"{OUT}/key.pem", "-out", f"{OUT}/certificate.pem"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, "-subj", "/CN=chat.example", *made]
    subprocess.run(command, check=True, capture_output=True)
    with open(f"{OUT}/both.pem", "w", encoding="ascii") as both:
        for part in ["certificate.pem", "key.pem"]:
            with open(f"{OUT}/{part}", encoding="ascii") as file:
                both.write(file.read())


def write(name, content):
    with open(f"{OUT}/{name}", "w", encoding="utf-8") as file:
        file.write(content)
    return f"{OUT}/{name}"


def set_up_namespace():
    """Addresses for everybody, and a /run that is nobody else's."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in [PROXY, SERVER, *CLIENTS]:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    os.mkdir("/run/clws")


def listens(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def version(*command):
    said = subprocess.run(command, capture_output=True, text=True)
    return re.search(r"\d[\w.]+", said.stdout + said.stderr).group(0)


def by_nginx(programs):
    server = programs.serve("clws-unix", block("nginx", "sh"))
    other = programs.start("clws-tcp", BINARY, "serve", "--trusted-proxy", "127.0.0.1",
                           "--host", "chat.example", *EXTRA)
    await_that(lambda: os.path.exists("/run/clws/clws.sock"), "the server listens")
    programs.start("nginx", "nginx", "-e", f"{OUT}/nginx.log", "-c",
                   write("nginx.conf", nginx_config(OUT)))
    ways = [Way("ws", 80, 503), Way("wss", 443, 503, tls=True)]
    checks = Checks("nginx", version("nginx", "-v"))
    try_ways(checks, server, ways, [80, 443])
    try_ways(checks, other, [Way("ws by TCP", 81, 503)], [81])
    return checks


def by_haproxy(programs):
    tls = ["--tls-self-signed", "--tls-listen", f"{SERVER}:12346"]
    server = programs.serve("clws-proxied", block("HAProxy", "sh"), *tls)
    await_that(lambda: listens(SERVER, 12346), "the server listens")
    programs.start("haproxy", "haproxy", "-db", "-f", write("haproxy.cfg", haproxy_config(OUT)))
    ways = [
        Way("version 2", 9002, None),
        Way("version 1", 9001, None),
        Way("TLS unopened", 9443, None, tls=True),
        Way("TLS opened", 9444, None, tls=True),
    ]
    checks = Checks("HAProxy", version("haproxy", "-v"))
    checks.check("who does not come by the proxy is closed", stranger)
    try_ways(checks, server, ways, [9002, 9001, 9443, 9444])
    checks.check("health checks are welcome", health_checks)
    return checks


def stranger():
    with socket.create_connection((SERVER, 12345), timeout=PATIENCE) as connection:
        connection.sendall(request("chat.example", "/chat", {}))
        try:
            equal(connection.recv(1), b"", "answer")
        except ConnectionResetError:
            pass


def health_checks():
    with open(f"{OUT}/clws-proxied.log", encoding="utf-8") as log:
        equal("said nothing of use" in log.read(), False, "complaints about them")


def try_ways(checks, server, ways, ports):
    for port in ports:
        await_that(lambda port=port: listens(PROXY, port), f"the proxy listens at {port}")
    for way in ways:
        checks.check(f"{way.name}: messages both ways", both_ways, way)
        checks.check(f"{way.name}: the client's own address counts", addresses, way)
        checks.check(f"{way.name}: a closing handshake", closing_handshake, way)
    checks.check("idle clients stay", together, outlives_idling, ways, CLIENTS[5:])
    checks.check("SIGTERM closes them with 1001", stops, server, ways)


programs = Programs()
try:
    set_up_namespace()
    make_certificate()
    failed = [by(programs).failed for by in [by_nginx, by_haproxy]]
finally:
    programs.end()
sys.exit(1 if any(failed) else 0)
