// The npm package `ws` as a client: all that its API can send, legal and illegal.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import {
  Checks, ECHO, EventPeer, bytes, closedWith, commonChecks, fragmentsEchoed, goodbye, inTime,
  pingChecks, text,
} from './common.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');
const checks = new Checks('ws', require('ws/package.json').version);

const connect = (url, options) => EventPeer.open(new WebSocket(url, options));

/** Expects the opening handshake to be refused with `status`. */
async function refused(status, url, options) {
  const socket = new WebSocket(url, options);
  socket.on('error', () => {});
  const response = once(socket, 'unexpected-response');
  const opened = once(socket, 'open').then(() => { throw new Error('the handshake succeeded'); });
  const [, answer] = await inTime(Promise.race([response, opened]), 'refusal');
  answer.destroy();
  assert.equal(answer.statusCode, status);
}

await commonChecks(checks, connect, refused);
await pingChecks(checks, connect, (peer) => peer.socket);

await checks.check('fragments become one message', async () => {
  const peer = await connect(ECHO);
  for (const [make, binary] of [[text, false], [bytes, true]]) {
    await fragmentsEchoed(peer, make(100_000), (piece, fin) => {
      peer.socket.send(piece, { fin, binary, compress: false });
    });
  }
  await goodbye(peer);
});

await checks.check('an unmasked frame is answered with 1002', async () => {
  const peer = await connect(ECHO);
  peer.socket.send('bare', { mask: false });
  await closedWith(peer, 1002);
});

await checks.check('invalid UTF-8 is answered with 1007', async () => {
  const peer = await connect(ECHO);
  peer.socket.send(Buffer.from([0x61, 0xed, 0xa0, 0x80]), { binary: false });
  await closedWith(peer, 1007);
});

await checks.check('fragments over 1 MiB in sum are answered with 1009', async () => {
  const peer = await connect(ECHO);
  for (let sent = 0; sent < 5; sent += 1) {
    peer.socket.send(bytes(256 * 1024), { fin: sent === 4, compress: false });
  }
  await closedWith(peer, 1009);
});

await checks.finish(connect);
