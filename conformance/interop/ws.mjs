// The npm package `ws` as a client: all that its API can send, legal and illegal.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import {
  BAD_ORIGIN, BASE, Checks, ECHO, EventPeer, GOOD_ORIGIN, STRICT, bytes, closedWith, echoChecks,
  httpChecks, inTime, limitChecks, same, text,
} from './common.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');
const checks = new Checks('ws', require('ws/package.json').version);

const connect = (url, options) => EventPeer.open(new WebSocket(url, options));

/** The HTTP status a refused opening handshake gets. */
async function refusal(url, options) {
  const socket = new WebSocket(url, options);
  socket.on('error', () => {});
  const refused = once(socket, 'unexpected-response');
  const opened = once(socket, 'open').then(() => { throw new Error('the handshake succeeded'); });
  const [, answer] = await inTime(Promise.race([refused, opened]), 'refusal');
  answer.destroy();
  return answer.statusCode;
}

await echoChecks(checks, connect);
await limitChecks(checks, connect);
await httpChecks(checks);

await checks.check('fragments become one message', async () => {
  const peer = await connect(ECHO);
  for (const [make, binary] of [[text, false], [bytes, true]]) {
    const whole = make(100_000);
    const cuts = [0, 1, 1, 126, 65_662, 100_000];
    for (let at = 1; at < cuts.length; at += 1) {
      const fin = at === cuts.length - 1;
      peer.socket.send(whole.slice(cuts[at - 1], cuts[at]), { fin, binary, compress: false });
    }
    same(await peer.next(), whole);
  }
  peer.close(1000);
  await closedWith(peer, 1000);
});

await checks.check('a ping with payload gets its pong', async () => {
  const peer = await connect(ECHO);
  for (const payload of ['', 'are you there?', 'x'.repeat(125)]) {
    const pong = once(peer.socket, 'pong');
    peer.socket.ping(payload);
    const [answer] = await inTime(pong, 'pong');
    assert.equal(answer.toString(), payload);
  }
  peer.close(1000);
  await closedWith(peer, 1000);
});

await checks.check('a close code of the application comes back', async () => {
  const peer = await connect(ECHO);
  peer.close(4321, 'own reason');
  await closedWith(peer, 4321);
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

await checks.check('an unknown path is refused with 404', async () => {
  assert.equal(await refusal(`${BASE}/nowhere`), 404);
});

await checks.check('a wrong Origin is refused with 403', async () => {
  assert.equal(await refusal(STRICT, { origin: BAD_ORIGIN }), 403);
});

await checks.check('the right Origin is admitted', async () => {
  const peer = await connect(STRICT, { origin: GOOD_ORIGIN });
  peer.close(1000);
  await closedWith(peer, 1000);
});

await checks.finish(connect);
