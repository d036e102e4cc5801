// The npm package `ws` of 2014 (0.4), without its native parts, as a client of version 8.
//
// Its key in version 8 is `8-` and the time in milliseconds: 15 bytes until the year 2286, where
// the draft demands 16. So the clock stands there whenever it draws a key that shall be right.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import {
  Checks, ECHO, Inbox, commonChecks, fragmentsEchoed, goodbye, inTime, pingChecks, text,
} from '../common.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws04');
const checks = new Checks('ws', `${require('ws04/package.json').version} in version 8`);
const FOURTEEN_DIGITS = 10_000_000_000_000;

/** The adapter for one connection; it reads the server's close frame, which the library hides. */
class Peer {
  #inbox = new Inbox();
  #code;

  constructor(socket) {
    const receiver = socket._receiver;
    const { onclose } = receiver;
    receiver.onclose = (code, ...rest) => {
      this.#code = code;
      onclose(code, ...rest);
    };
    this.socket = socket;
    this.closed = once(socket, 'close')
      .then(() => ({ code: this.#code, clean: this.#code !== undefined }));
    socket.on('message', (data, { binary }) => {
      this.#inbox.put(binary ? new Uint8Array(data) : data);
    });
    socket.on('error', () => {});
  }

  send(message) {
    const binary = typeof message !== 'string';
    this.socket.send(binary ? Buffer.from(message) : message, { binary });
  }

  next() {
    return this.#inbox.next();
  }

  close(code, reason) {
    // From here on the library hears nothing, so the answer is read beside it.
    this.socket._socket.on('data', (frame) => {
      if (frame[0] === 0x88) this.#code = frame.readUInt16BE(2);
    });
    this.socket.close(code, reason);
  }
}

function dial(url, options, keyTime = FOURTEEN_DIGITS) {
  const { now } = Date;
  Date.now = () => keyTime;
  try {
    return new WebSocket(url, { ...options, protocolVersion: 8 });
  } finally {
    Date.now = now;
  }
}

async function connect(url, options) {
  const socket = dial(url, options);
  await inTime(once(socket, 'open'), 'opening handshake');
  return new Peer(socket);
}

/** Expects the opening handshake to be refused with `status`. */
async function refused(status, ...how) {
  const opened = inTime(once(dial(...how), 'open'), 'refusal');
  await assert.rejects(opened, new RegExp(`unexpected server response \\(${status}\\)`));
}

await commonChecks(checks, connect, refused, 'Sec-WebSocket-Origin');
await pingChecks(checks, connect, (peer) => peer.socket);

await checks.check('fragments become one message', async () => {
  const peer = await connect(ECHO);
  const turns = new Inbox();
  peer.socket.stream({}, (error, send) => {
    assert.ifError(error);
    turns.put(send);
  });
  await fragmentsEchoed(peer, text(70_000), async (piece, fin) => (await turns.next())(piece, fin));
  await goodbye(peer);
});

await checks.check('a key of 15 bytes is refused with 400', () => refused(400, ECHO, {}, 1e12));

await checks.finish(connect);
