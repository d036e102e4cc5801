// Node.js's own `WebSocket`, which is a browser's API: no pings, no fragments, no status codes.
import assert from 'node:assert/strict';
import { Checks, ECHO, EventPeer, commonChecks, echoed, goodbye } from './common.mjs';

const checks = new Checks('node', process.versions.node);

function connect(url, { origin } = {}) {
  return EventPeer.open(new WebSocket(url, { headers: origin ? { origin } : {} }));
}

/** Expects the socket never to open. */
async function refused(_status, url, options) {
  await assert.rejects(connect(url, options));
}

await commonChecks(checks, connect, refused);

await checks.check('a Blob arrives as binary', async () => {
  const peer = await connect(ECHO);
  peer.send(new Blob(['tur', 'tle']));
  assert.deepEqual(Buffer.from(await peer.next()).toString(), 'turtle');
  await echoed(peer, 'and text after it');
  await goodbye(peer);
});

await checks.finish(connect);
