// Node.js's own `WebSocket`, which is a browser's API: no pings, no fragments, no status codes.
import assert from 'node:assert/strict';
import {
  BAD_ORIGIN, Checks, ECHO, EventPeer, GOOD_ORIGIN, STRICT, closedWith, echoChecks, echoed,
  httpChecks, limitChecks, openAddress,
} from './common.mjs';

const checks = new Checks('node', process.versions.node);

const connect = (url, options) => EventPeer.open(new WebSocket(url, options));

/** Expects the socket never to open. */
async function refused(url, options) {
  await assert.rejects(connect(url, options));
}

await echoChecks(checks, connect);
await limitChecks(checks, connect);
await httpChecks(checks);

await checks.check('a close code of the application comes back', async () => {
  const peer = await connect(ECHO);
  peer.close(3999, 'own reason');
  await closedWith(peer, 3999);
});

await checks.check('a Blob arrives as binary', async () => {
  const peer = await connect(ECHO);
  peer.send(new Blob(['tur', 'tle']));
  assert.deepEqual(Buffer.from(await peer.next()).toString(), 'turtle');
  await echoed(peer, 'and text after it');
  peer.close(1000);
  await closedWith(peer, 1000);
});

await checks.check('an unknown path is refused', () => refused(`ws://${openAddress}/nowhere`));

await checks.check('a wrong Origin is refused', () => {
  return refused(STRICT, { headers: { origin: BAD_ORIGIN } });
});

await checks.check('the right Origin is admitted', async () => {
  const peer = await connect(STRICT, { headers: { origin: GOOD_ORIGIN } });
  peer.close(1000);
  await closedWith(peer, 1000);
});

await checks.finish(connect);
