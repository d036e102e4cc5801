// permessage-deflate (RFC 7692) with the npm package `ws`: every offer it can make against servers
// that are set differently. What is agreed must be what the RFC makes of both, and bytes on the
// wire must show it: compressed or not, with or without a history.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import {
  Checks, EventPeer, MULTIBYTE, SERVERS, bytes, echoed, fragmentsEchoed, goodbye, inTime,
} from './common.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');
const checks = new Checks('ws', `${require('ws/package.json').version} with every deflate`);

const MAX_BITS = 15;
const WINDOWS = [8, 9, 10, 11, 12, 13, 14, 15];
const LONG = words(65_536);
// More than a mebibyte, in a few kilobytes on the wire.
const SWELLING = LONG.repeat(24);

/** Text that compresses, but not to nothing. */
function words(size) {
  const known = ['{"id":', '"user":', '"anna"', '"active":', 'true', 'false', '},', 'żółw'];
  let state = 1;
  let said = '';
  while (said.length < size) {
    state = (state * 48_271) % 2_147_483_647;
    said += known[state % known.length];
  }
  return said.slice(0, size);
}

/** What a server was told by its flags. */
function settings(flags) {
  const value = (name, otherwise) => {
    const at = flags.indexOf(name);
    return at < 0 ? otherwise : flags[at + 1];
  };
  const takeover = value('--deflate-takeover', 'none');
  return {
    on: value('--deflate', '1') !== 'off',
    serverForgets: !['server', 'both'].includes(takeover),
    clientForgets: !['client', 'both'].includes(takeover),
    bits: Number(value('--deflate-window-bits', MAX_BITS)),
  };
}

/** What the RFC makes of an offer (section 7.1): the parameters of the answer, or none. */
function expected(server, offer) {
  // No zlib compresses with 256 bytes, so a server has to decline that.
  if (!server.on || offer.serverMaxWindowBits === 8) return undefined;
  const answer = ['permessage-deflate'];
  if (server.serverForgets || offer.serverNoContextTakeover) {
    answer.push('server_no_context_takeover');
  }
  if (server.clientForgets || offer.clientNoContextTakeover) {
    answer.push('client_no_context_takeover');
  }
  if (offer.serverMaxWindowBits || server.bits < MAX_BITS) {
    const bits = Math.min(offer.serverMaxWindowBits ?? MAX_BITS, server.bits);
    answer.push(`server_max_window_bits=${bits}`);
  }
  // Only a client that says that it knows the parameter may be told.
  if (offer.clientMaxWindowBits !== false && server.bits < MAX_BITS) {
    const bits = Math.min(offer.clientMaxWindowBits ?? MAX_BITS, server.bits);
    answer.push(`client_max_window_bits=${bits}`);
  }
  return answer.join('; ');
}

async function connect(server, perMessageDeflate = {}) {
  const socket = new WebSocket(server.url, {
    perMessageDeflate: { threshold: 0, ...perMessageDeflate },
  });
  const upgraded = once(socket, 'upgrade');
  const peer = await EventPeer.open(socket);
  const [response] = await inTime(upgraded, 'answer');
  peer.agreed = response.headers['sec-websocket-extensions'];
  return peer;
}

/** Echoes `message`; gives the bytes that it took on the wire, out and back. */
async function weighed(peer, message) {
  const { _socket: tcp } = peer.socket;
  const before = [tcp.bytesWritten, tcp.bytesRead];
  await echoed(peer, message);
  return [tcp.bytesWritten - before[0], tcp.bytesRead - before[1]];
}

/** Both ways are compressed, or none is. */
async function checkCompression(peer) {
  const size = Buffer.byteLength(LONG);
  for (const weight of await weighed(peer, LONG)) {
    const compressed = weight < size / 2;
    assert.equal(compressed, peer.agreed !== undefined, `${weight} bytes for ${size}`);
  }
}

/** Messages of all kinds. */
async function checkMessages(peer) {
  await checkCompression(peer);
  for (const message of ['', MULTIBYTE, bytes(300), bytes(65_536), SWELLING, bytes(7)]) {
    await echoed(peer, message);
  }
  for (const [whole, binary] of [[LONG + LONG, false], [bytes(100_000), true]]) {
    await fragmentsEchoed(peer, whole, (piece, fin) => peer.socket.send(piece, { fin, binary }));
  }
}

/** A message costs next to nothing when it comes again, if its sender was to keep a history. */
async function checkHistory(peer) {
  // The smallest window still reaches from one to the next.
  const line = [...'0123456789'].map((digit, at) => `${digit}${(at * at * 7919) % 997}`).join('#');
  const message = `${line} ${line}`;
  const first = await weighed(peer, message);
  const again = await weighed(peer, message);
  for (const [at, side] of ['client', 'server'].entries()) {
    const forgets = peer.agreed.includes(`${side}_no_context_takeover`);
    const same = again[at] > first[at] * 0.8;
    const less = again[at] < first[at] * 0.5;
    assert.ok(forgets ? same : less, `${side}: ${again[at]} bytes after ${first[at]}`);
  }
}

async function negotiate(server, offer, use) {
  const peer = await connect(server, offer);
  assert.equal(peer.agreed, expected(server, offer));
  await use(peer);
  if (peer.agreed) await checkHistory(peer);
  await goodbye(peer);
}

// Of its own history, `false` would mean that the server must not ask for less.
const TAKEOVERS = [false, true].flatMap((serverNoContextTakeover) =>
  [false, true].map((clientNoContextTakeover) =>
    ({ serverNoContextTakeover, clientNoContextTakeover: clientNoContextTakeover || undefined })));

/** An offer in words that differ. */
function named(offer) {
  return Object.entries(offer).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`).join(', ');
}

async function check(server, offer, use) {
  await checks.check(`${server.flags.join(' ')}: ${named(offer)}`, () =>
    negotiate(server, offer, use));
}

const servers = SERVERS.map((server) => ({ ...server, ...settings(server.flags) }));
for (const server of servers) {
  for (const takeover of TAKEOVERS) {
    await check(server, takeover, checkMessages);
    for (const bits of WINDOWS) {
      const windows = { serverMaxWindowBits: bits, clientMaxWindowBits: bits };
      const use = bits < 10 ? checkMessages : checkCompression;
      await check(server, { ...takeover, ...windows }, use);
    }
  }
}
// Windows that differ, on the server that keeps both histories and on the one with small windows.
for (const server of servers.filter(({ on, serverForgets, clientForgets }) =>
  on && !serverForgets && !clientForgets)) {
  for (const serverMaxWindowBits of [undefined, ...WINDOWS]) {
    for (const clientMaxWindowBits of [undefined, false, ...WINDOWS]) {
      await check(server, { serverMaxWindowBits, clientMaxWindowBits }, checkCompression);
    }
  }
}

await checks.finish(() => connect(servers[0]));
