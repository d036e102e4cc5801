// The npm package `websocket` as a client, by its connection API, which shows single frames.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import {
  Checks, ECHO, Inbox, bytes, closedWith, commonChecks, goodbye, inTime, pingChecks, same, text,
} from './common.mjs';

const require = createRequire(import.meta.url);
const { client: Client } = require('websocket');
const checks = new Checks('websocket', require('websocket/package.json').version);

/** The adapter for one connection. */
class Peer {
  #inbox = new Inbox();

  constructor(connection) {
    this.connection = connection;
    connection.on('message', ({ type, utf8Data, binaryData }) => {
      this.#inbox.put(type === 'utf8' ? utf8Data : new Uint8Array(binaryData));
    });
    // Its own word for an end without a close frame is code 1006.
    this.closed = once(connection, 'close')
      .then(([code, reason]) => ({ code, reason, clean: code !== 1006 }));
    connection.on('error', () => {});
  }

  send(message) {
    if (typeof message === 'string') this.connection.sendUTF(message);
    else this.connection.sendBytes(Buffer.from(message));
  }

  next() {
    return this.#inbox.next();
  }

  close(code, reason) {
    this.connection.close(code, reason);
  }
}

function connect(url, { origin, ...options } = {}) {
  const client = new Client({ maxReceivedMessageSize: 4 << 20, maxReceivedFrameSize: 4 << 20,
    ...options });
  const opened = new Promise((resolve, reject) => {
    client.on('connect', (connection) => resolve(new Peer(connection)));
    client.on('connectFailed', reject);
  });
  client.connect(url, [], origin);
  return inTime(opened, 'opening handshake');
}

/** Expects the opening handshake to be refused with `status`. */
async function refused(status, url, options) {
  await assert.rejects(connect(url, options), new RegExp(`non-101 status: ${status}\\b`));
}

await commonChecks(checks, connect, refused);
await pingChecks(checks, connect, (peer) => peer.connection);

await checks.check('fragments become one message', async () => {
  const peer = await connect(ECHO, { fragmentationThreshold: 1000 });
  for (const whole of [text(64_321), bytes(64_321)]) {
    peer.send(whole);
    same(await peer.next(), whole);
  }
  await goodbye(peer);
});

await checks.check('an unmasked frame is answered with 1002', async () => {
  const peer = await connect(ECHO);
  peer.connection.maskOutgoingPackets = false;
  peer.send('bare');
  await closedWith(peer, 1002);
});

await checks.check('invalid UTF-8 is answered with 1007', async () => {
  const peer = await connect(ECHO);
  // A text frame's opcode for what the library believes to be bytes.
  const { connection } = peer;
  const { fragmentAndSend } = connection;
  connection.fragmentAndSend = function asText(frame, sent) {
    frame.opcode = 0x01;
    return fragmentAndSend.call(this, frame, sent);
  };
  peer.send(Uint8Array.of(0x61, 0xc0, 0xaf));
  await closedWith(peer, 1007);
});

await checks.finish(connect);
