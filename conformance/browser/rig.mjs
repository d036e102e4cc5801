// What the browser test stands on: counted checks, servers, Chromium and its tabs, and their end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const OVERALL_MS = 120_000;
export const STEP_MS = 15_000;
const CHROMIUM_FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
export const DESKTOP = { width: 1200, height: 800 };

const undo = [];
let passed = 0;

export function check(condition, what) {
  if (!condition) throw new Error(what);
  passed += 1;
  console.log(`ok ${passed} ${what}`);
}

/** Counts as a check: `awaited` must settle well in time, or `what` is the failure's message. */
export async function eventually(awaited, what) {
  let problem;
  await awaited.catch((error) => { problem = error; });
  if (problem) throw new Error(`${what}: ${String(problem.message).split('\n')[0]}`);
  check(true, what);
}

export function options() {
  const known = { server: { type: 'string' }, out: { type: 'string' } };
  const { values } = parseArgs({ options: known });
  if (!values.server || !values.out) {
    throw new Error('usage: node page.mjs --server PATH_TO_CLWS --out DIR');
  }
  mkdirSync(values.out, { recursive: true });
  return values;
}

function loadChromium() {
  try {
    return createRequire(import.meta.url)('playwright-core').chromium;
  } catch (error) {
    throw new Error(`playwright-core is missing, npm install it first (${error.code})`);
  }
}

async function listenAnywhere(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

export async function freePort() {
  const probe = createServer();
  const port = await listenAnywhere(probe);
  probe.close();
  await once(probe, 'close');
  return port;
}

async function answers(url) {
  try {
    const response = await fetch(url);
    await response.text();
    return response.ok;
  } catch {
    return false;
  }
}

/** Starts `clws serve` and returns once `/` answers. */
export async function startServer(binary, port, ...more) {
  const args = ['serve', '--listen', `127.0.0.1:${port}`, ...more];
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => { output = (output + chunk).slice(-2000); });
  }
  const exit = new Promise((resolve) => {
    child.on('error', (error) => resolve(String(error)));
    child.on('exit', (code, signal) => resolve(signal ?? code));
  });
  let gone = false;
  exit.then(() => { gone = true; });
  undo.push(() => gone || child.kill('SIGKILL'));
  const giveUp = Date.now() + STEP_MS;
  while (!await answers(`http://127.0.0.1:${port}/`)) {
    if (gone) throw new Error(`${binary} ${args.join(' ')} ended (${await exit}): ${output}`);
    if (Date.now() > giveUp) throw new Error(`no answer on port ${port} in time: ${output}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return { child, exit };
}

export async function startBrowser(...more) {
  const profile = mkdtempSync(path.join(tmpdir(), 'clws-browser-'));
  undo.push(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  const context = await loadChromium().launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [...CHROMIUM_FLAGS, ...more],
    viewport: DESKTOP,
    colorScheme: 'light',
  });
  undo.push(() => context.close());
  context.setDefaultTimeout(STEP_MS);
  return context;
}

/** Serves `html` on a port of its own; gives the page's origin. */
export async function servePage(html) {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html', connection: 'close' }).end(html);
  });
  undo.push(() => server.close());
  return `http://127.0.0.1:${await listenAnywhere(server)}`;
}

/**
 * A tab with short ways to what the tests look at. `complaints` gathers what its console said,
 * `sockets` where its WebSockets went, `handshakes` what its network stack saw answered to them.
 */
export async function openTab(context, url) {
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  const handshakes = [];
  const tools = await context.newCDPSession(page);
  tools.on('Network.webSocketHandshakeResponseReceived', ({ response }) => {
    handshakes.push(response);
  });
  await tools.send('Network.enable');
  const response = await page.goto(url);
  const at = (id) => page.getByTestId(id);
  const state = (name, value) =>
    page.locator(`[data-testid=${name}-state][data-state=${value}]`).waitFor();
  const line = (name, text) => at(`${name}-log`).getByText(text).last();
  return { page, response, complaints, sockets, handshakes, at, state, line };
}

let finishing = false;

/** Undoes what the test started, newest first, and ends the process; the first call counts. */
async function finish(error) {
  if (finishing) return;
  finishing = true;
  setTimeout(() => process.exit(1), STEP_MS).unref();
  for (const step of undo.splice(0).reverse()) {
    await Promise.resolve().then(step).catch(() => {});
  }
  if (error) console.error(`browser: FAILED after ${passed} checks: ${error.message}`);
  else console.log(`browser: ${passed} checks passed`);
  process.exit(error ? 1 : 0);
}

/** Runs `main` in the time there is; however it ends, nothing that was started is left. */
export function run(main) {
  const late = new Error(`not done after ${OVERALL_MS / 1000} s`);
  setTimeout(() => finish(late), OVERALL_MS).unref();
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => finish(new Error(`stopped by ${signal}`)));
  }
  main().then(() => finish(), finish);
}
