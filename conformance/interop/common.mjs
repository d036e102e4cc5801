// What the JavaScript peers share: the lines that `cargo xtask interop` reads, messages to send,
// and the checks that every client library can do. A peer brings an adapter with `send`, `next`,
// `close` and a promise `closed` of `{ code, reason, clean }`.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

export const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 300 * 1024];
export const MEBIBYTE = 1024 * 1024;
export const MULTIBYTE = 'κόσμε, żółw, 日本語, 🐢🦀, \u{10ffff}';
export const PATIENCE = 10_000;

const [, , ...addresses] = process.argv;
const [openAddress, strictAddress] = addresses;
// Where TLS is spoken, Node itself is told whom to trust (NODE_EXTRA_CA_CERTS).
const SECURE = process.env.CLWS_CA ? 's' : '';
const BASE = `ws${SECURE}://${openAddress}`;
export const ECHO = `${BASE}/echo`;
const STRICT = `ws${SECURE}://${strictAddress}/echo`;
/** The echoes of all servers, with the flags that they were started with. */
export const SERVERS = addresses.map((address, at) => ({
  url: `ws${SECURE}://${address}/echo`,
  flags: process.env.CLWS_FLAGS.split('\n')[at].split(' '),
}));
const NOWHERE = `${BASE}/nowhere`;
const GOOD_ORIGIN = 'https://good.example';
const BAD_ORIGIN = 'https://good.example.evil.example';

/** Text of `size` bytes, every position telling. */
export function text(size) {
  return Array.from({ length: size }, (_, at) => String.fromCharCode(33 + (at * 7) % 94)).join('');
}

/** `size` bytes of every value. */
export function bytes(size) {
  return Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >> 8)) & 255);
}

/** Rejects when `promise` takes longer than any check should. */
export function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${PATIENCE} ms`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Messages as they come, for whoever asks for the next one. */
export class Inbox {
  #messages = [];
  #waiting = [];

  put(message) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(message);
    else this.#messages.push(message);
  }

  next() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    return inTime(new Promise((resolve) => this.#waiting.push(resolve)), 'message');
  }
}

/** The adapter for everything that looks like a browser's `WebSocket`. */
export class EventPeer {
  #inbox = new Inbox();

  /** Resolves when the socket is open, rejects when the server refused it. */
  static async open(socket) {
    const peer = new EventPeer(socket);
    await inTime(new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', (event) => reject(new Error(event.message || 'refused')));
    }), 'opening handshake');
    return peer;
  }

  constructor(socket) {
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => {
      this.#inbox.put(typeof data === 'string' ? data : new Uint8Array(data));
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason, wasClean }) => {
        resolve({ code, reason, clean: wasClean });
      });
    });
  }

  send(message) {
    this.socket.send(message);
  }

  next() {
    return this.#inbox.next();
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }
}

/** Runs checks one after the other and says how each went. */
export class Checks {
  #failed = 0;

  constructor(name, version) {
    console.log(`peer ${name} ${version}${SECURE ? ' over TLS' : ''}`);
  }

  async check(name, run) {
    try {
      await inTime(run(), 'check');
      console.log(`ok ${name}`);
    } catch (error) {
      this.#failed += 1;
      console.log(`FAIL ${name}: ${error.message.split('\n').join(' ').slice(0, 300)}`);
    }
  }

  /** The last check: every open client hears 1001 when the server is told to stop. */
  async finish(connect) {
    await this.check('SIGTERM closes every client with 1001', async () => {
      const peers = await Promise.all([connect(ECHO), connect(ECHO), connect(ECHO)]);
      for (const peer of peers) {
        peer.send('here');
        assert.equal(await peer.next(), 'here');
      }
      console.log('ready for shutdown');
      for (const peer of peers) await closedWith(peer, 1001);
    });
    console.log('done');
    process.exit(this.#failed === 0 ? 0 : 1);
  }
}

/** Waits for the end of the connection: a whole closing handshake with `code`. */
export async function closedWith(peer, code) {
  const closed = await inTime(peer.closed, `close ${code}`);
  assert.equal(closed.code, code, `close code ${closed.code}, not ${code}`);
  assert.equal(closed.clean, true, 'the closing handshake was not clean');
}

/** Closes, and waits for the same code from the server. */
export async function goodbye(peer, code = 1000, reason = undefined) {
  peer.close(code, reason);
  await closedWith(peer, code);
}

/** Sends `message` and expects the same back. */
export async function echoed(peer, message) {
  peer.send(message);
  same(await peer.next(), message);
}

/** Compares messages without printing a third of a mebibyte on a difference. */
export function same(got, want) {
  assert.equal(typeof got, typeof want, `a ${typeof got} came back for a ${typeof want}`);
  assert.equal(got.length, want.length, `${got.length} of ${want.length} came back`);
  assert.ok(Buffer.compare(Buffer.from(got), Buffer.from(want)) === 0, 'the content differs');
}

/**
 * What every library can do. `refused(status, url, options)` expects a refusal; `header` is what
 * the version calls the origin.
 */
export async function commonChecks(checks, connect, refused, header = 'Origin') {
  await echoChecks(checks, connect);
  await limitChecks(checks, connect);
  await closeChecks(checks, connect);
  await openingChecks(checks, connect, refused, header);
  await httpChecks(checks);
}

/** Echoes of every size, in one connection per kind. */
async function echoChecks(checks, connect) {
  for (const [kind, make] of [['text', text], ['binary', bytes]]) {
    const peer = await connect(ECHO);
    for (const size of SIZES) {
      await checks.check(`${kind} echo of ${size} bytes`, () => echoed(peer, make(size)));
    }
    await checks.check(`close after ${kind} echoes`, async () => {
      await goodbye(peer, 1000, 'thank you');
    });
  }
  await checks.check('multi-byte text', async () => {
    const peer = await connect(ECHO);
    await echoed(peer, MULTIBYTE);
    await echoed(peer, MULTIBYTE.repeat(2000));
    await goodbye(peer);
  });
  await checks.check('a hundred messages keep their order', async () => {
    const peer = await connect(ECHO);
    for (let at = 0; at < 100; at += 1) peer.send(`${at}`);
    for (let at = 0; at < 100; at += 1) assert.equal(await peer.next(), `${at}`);
    await goodbye(peer);
  });
}

/** A message of 1 MiB is the largest that is accepted. */
async function limitChecks(checks, connect) {
  await checks.check('a message of 1 MiB is echoed', async () => {
    const peer = await connect(ECHO);
    await echoed(peer, bytes(MEBIBYTE));
    await goodbye(peer);
  });
  await checks.check('a message over 1 MiB is answered with 1009', async () => {
    const peer = await connect(ECHO);
    peer.send(bytes(MEBIBYTE + 1));
    await closedWith(peer, 1009);
  });
}

/** A client may close with a code of its application's. */
async function closeChecks(checks, connect) {
  await checks.check('a close code of the application comes back', async () => {
    await goodbye(await connect(ECHO), 4321, 'own reason');
  });
}

/** Pings by whatever of a peer has a `ping` and emits `pong`. */
export async function pingChecks(checks, connect, emitter) {
  await checks.check('a ping with payload gets its pong', async () => {
    const peer = await connect(ECHO);
    for (const payload of ['', 'are you there?', 'x'.repeat(125)]) {
      const pong = once(emitter(peer), 'pong');
      emitter(peer).ping(payload);
      const [answer] = await inTime(pong, 'pong');
      assert.equal(`${answer ?? ''}`, payload);
    }
    await goodbye(peer);
  });
}

/** Sends `whole` in fragments, some of them empty or tiny, by `send(piece, fin)`. */
export async function fragmentsEchoed(peer, whole, send) {
  const cuts = [0, 1, 1, 126, 65_662, whole.length];
  for (let at = 1; at < cuts.length; at += 1) {
    await send(whole.slice(cuts[at - 1], cuts[at]), at === cuts.length - 1);
  }
  same(await peer.next(), whole);
}

/** Who is let in. */
async function openingChecks(checks, connect, refused, header) {
  await checks.check('an unknown path is refused with 404', () => refused(404, NOWHERE, {}));
  await checks.check(`a wrong ${header} is refused with 403`, () => {
    return refused(403, STRICT, { origin: BAD_ORIGIN });
  });
  await checks.check(`the right ${header} is admitted`, async () => {
    await goodbye(await connect(STRICT, { origin: GOOD_ORIGIN }));
  });
}

/** What plain HTTP gets. */
async function httpChecks(checks) {
  await checks.check('plain GET of a WebSocket resource is answered with 426', async () => {
    const answer = await get('/echo');
    assert.equal(answer.statusCode, 426);
    assert.match(answer.headers.upgrade ?? '', /websocket/i);
  });
  await checks.check('plain GET of an unknown path is answered with 404', async () => {
    assert.equal((await get('/nowhere')).statusCode, 404);
  });
}

function get(path) {
  return new Promise((resolve, reject) => {
    const { get: ask } = SECURE ? https : http;
    ask(`http${SECURE}://${openAddress}${path}`, { agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer));
    }).on('error', reject);
  });
}
