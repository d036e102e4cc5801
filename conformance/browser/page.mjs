// Drives the built-in page of `clws serve` in a real browser: two tabs chat and echo, a page from
// another origin is refused, and a stopping server says goodbye with 1001.
//
//   npm install --no-save playwright-core     (in this directory, or anywhere NODE_PATH names)
//   node page.mjs --server PATH_TO_CLWS --out DIR
//
// Needs Chromium at /usr/bin/chromium (or CHROMIUM=path). Screenshots go to DIR.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const OVERALL_MS = 120_000;
const STEP_MS = 15_000;
const CHROMIUM_FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const DESKTOP = { width: 1200, height: 800 };
const GREETING = 'Grüße, Ελλάδα, привет, 𝔸 → €';
const MARKUP = '<img src=x onerror="window.pwned = 1"><b>not bold</b>';

const undo = [];
let passed = 0;

function check(condition, what) {
  if (!condition) throw new Error(what);
  passed += 1;
  console.log(`ok ${passed} ${what}`);
}

/** Counts as a check: `awaited` must settle well in time, or `what` is the failure's message. */
async function eventually(awaited, what) {
  let problem;
  await awaited.catch((error) => { problem = error; });
  if (problem) throw new Error(`${what}: ${String(problem.message).split('\n')[0]}`);
  check(true, what);
}

function options() {
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

async function freePort() {
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
async function startServer(binary, port, ...more) {
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

async function startBrowser() {
  const profile = mkdtempSync(path.join(tmpdir(), 'clws-browser-'));
  undo.push(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  const context = await loadChromium().launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: CHROMIUM_FLAGS,
    viewport: DESKTOP,
    colorScheme: 'light',
  });
  undo.push(() => context.close());
  context.setDefaultTimeout(STEP_MS);
  return context;
}

/** A tab with short ways to what the tests look at; `complaints` gathers what its console said. */
async function openTab(context, url) {
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(url);
  const at = (id) => page.getByTestId(id);
  const state = (name, value) =>
    page.locator(`[data-testid=${name}-state][data-state=${value}]`).waitFor();
  const line = (name, text) => at(`${name}-log`).getByText(text).last();
  return { page, complaints, at, state, line };
}

async function bothOpen(tabs, when) {
  const states = tabs.flatMap((tab) => [tab.state('chat', 'open'), tab.state('echo', 'open')]);
  await eventually(Promise.all(states), `both tabs show chat and echo open ${when}`);
}

async function say(tab, text) {
  await tab.at('chat-input').fill(text);
  await tab.at('chat-input').press('Enter');
}

async function checkChat(first, second) {
  await eventually(first.at('chat-who').getByText('2 here').waitFor(), 'tab 1 counts two people');
  await say(first, 'Good morning. Is the server up?');
  const question = second.line('chat', /^\d+: Good morning\. Is the server up\?$/);
  await eventually(question.waitFor(), 'a line from tab 1 appears in tab 2');
  await say(second, `It is. ${GREETING}`);
  const answer = first.line('chat', new RegExp(`^\\d+: It is\\. ${GREETING}$`, 'u'));
  await eventually(answer.waitFor(), 'a line from tab 2 appears in tab 1, multi-byte intact');
  await first.at('chat-input').fill('Then let us see what it can carry.');
  await first.at('chat-send').click();
  const own = first.line('chat', /^\d+: Then let us see/);
  await eventually(own.waitFor(), 'a sender sees its own line');
}

/** Sends by `act`; the next verdict in the echo log must be that the answer was identical. */
async function echoes(tab, what, act) {
  const verdicts = tab.at('echo-log').locator('[data-result]');
  const before = await verdicts.count();
  await act();
  const verdict = await verdicts.nth(before).textContent();
  check(verdict.startsWith('identical, '), `${what} comes back identical ("${verdict}")`);
}

async function checkEcho(tab) {
  await tab.page.bringToFront();
  for (const text of ['Hello, server', GREETING]) {
    await echoes(tab, `text "${text}"`, async () => {
      await tab.at('echo-input').fill(text);
      await tab.at('echo-input').press('Enter');
    });
  }
  for (const size of [1, 125, 70_000]) {
    await echoes(tab, `binary of ${size} bytes`, async () => {
      await tab.at('echo-size').fill(String(size));
      await tab.at('echo-binary').click();
    });
  }
  const file = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('A file, echoed') };
  await echoes(tab, 'a file', () => tab.at('echo-file').setInputFiles(file));
}

async function checkLatency(tab) {
  await tab.at('latency-toggle').click();
  const measured = tab.page.waitForFunction(() => {
    const shown = [...document.querySelectorAll('[data-testid=latency] dd')];
    return shown.length === 4 && shown.every((cell) => /^\d+(\.\d+)?$/.test(cell.textContent));
  });
  await eventually(measured, 'latency shows last, min, median and max as numbers');
  await eventually(tab.page.locator('[data-testid=latency][data-samples="5"]').waitFor(),
    'latency goes on measuring');
}

async function takePictures(tab, out) {
  const shoot = (name) => tab.page.screenshot({ path: path.join(out, `page-${name}.png`) });
  await tab.at('chat-input').focus();
  await shoot('light');
  await tab.page.emulateMedia({ colorScheme: 'dark' });
  await shoot('dark');
  await tab.page.emulateMedia({ colorScheme: 'light' });
  await tab.page.setViewportSize({ width: 380, height: 800 });
  await tab.page.screenshot({ path: path.join(out, 'page-narrow.png'), fullPage: true });
  await tab.page.setViewportSize({ width: 360, height: 640 });
  const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
  check(width <= 360, `no sideways scrolling at 360 px (page is ${width} px wide)`);
  await tab.page.setViewportSize(DESKTOP);
}

async function checkMarkup(first, second) {
  await say(first, MARKUP);
  await eventually(second.line('chat', MARKUP).waitFor(), 'markup in a message is shown as text');
  const found = await second.page.evaluate(() =>
    document.querySelectorAll('.log img, .log b').length + (window.pwned ?? 0));
  check(found === 0, 'markup in a message made no element and ran nothing');
}

const atEnd = (tab) => tab.at('echo-log').evaluate((log) =>
  log.scrollHeight - log.scrollTop - log.clientHeight < 2);

async function checkBound(tab) {
  await tab.page.bringToFront();
  await tab.page.evaluate(() => {
    const input = document.querySelector('[data-testid=echo-input]');
    for (let n = 1; n <= 700; n += 1) {
      input.value = `line ${n}`;
      input.form.requestSubmit();
    }
  });
  await tab.line('echo', 'line 700').waitFor();
  const rows = await tab.at('echo-log').evaluate((log) => log.childElementCount);
  check(rows === 500, `a log keeps its last 500 lines (it has ${rows})`);
  check(await atEnd(tab), 'a log that was at its end stays at its end');
}

async function checkFollowing(tab) {
  await tab.at('echo-log').evaluate((log) => { log.scrollTop = 0; });
  const jump = tab.page.getByRole('button', { name: 'Jump to latest' });
  await jump.waitFor();
  await tab.at('echo-input').fill('one more');
  await tab.at('echo-send').click();
  await tab.line('echo', 'one more').waitFor();
  check(await atEnd(tab) === false, 'a log scrolled up stays where it is');
  await jump.click();
  check(await atEnd(tab), 'Jump to latest goes to its end');
}

/** SIGTERM: every socket closes with 1001, the page says so, the process ends with 0. */
async function checkStop(server, tabs) {
  server.child.kill('SIGTERM');
  for (const [n, tab] of tabs.entries()) {
    for (const name of ['chat', 'echo']) {
      await tab.state(name, 'closed').catch(() => {});
      const text = await tab.at(`${name}-state`).textContent();
      check(text.startsWith('The server is going away (1001)'),
        `tab ${n + 1} says that ${name} went away with 1001 (it says "${text}")`);
    }
  }
  const late = new Promise((resolve) => { setTimeout(resolve, STEP_MS, 'still running').unref(); });
  const code = await Promise.race([server.exit, late]);
  check(code === 0, `the server exits with 0 after SIGTERM (${code})`);
}

/** A page from another port, whose script tries the server's echo, and what became of it. */
async function checkForeignPage(context, port) {
  const html = `<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title><script>
    const socket = new WebSocket('ws://127.0.0.1:${port}/echo');
    socket.onopen = () => { document.title = 'open'; };
    socket.onclose = (event) => { document.title = document.title + ' closed ' + event.code; };
  </script>`;
  const elsewhere = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html', connection: 'close' }).end(html);
  });
  undo.push(() => elsewhere.close());
  const tab = await openTab(context, `http://127.0.0.1:${await listenAnywhere(elsewhere)}/`);
  await tab.page.waitForFunction(() => / closed |open/.test(document.title));
  const title = await tab.page.title();
  check(title === 'Elsewhere closed 1006', `a page from another port is refused ("${title}")`);
  const expected = tab.complaints.filter((text) => text.includes(`ws://127.0.0.1:${port}/echo`));
  check(expected.length === 1 && tab.complaints.length === 1,
    `its console tells of the refused connection alone (${tab.complaints.join(' | ')})`);
}

async function main() {
  const { server: binary, out } = options();
  const context = await startBrowser();
  const port = await freePort();
  const home = `http://127.0.0.1:${port}`;
  let server = await startServer(binary, port);
  const tabs = [await openTab(context, `${home}/`), await openTab(context, `${home}/`)];
  const [first, second] = tabs;
  await bothOpen(tabs, 'on a server with default origins');
  check(await first.page.title() === 'CLWS', 'the title is CLWS');
  await checkChat(first, second);
  await checkEcho(first);
  await checkLatency(first);
  await takePictures(first, out);
  await checkMarkup(first, second);
  await checkBound(second);
  await checkFollowing(second);
  await checkStop(server, tabs);
  await first.page.screenshot({ path: path.join(out, 'page-closed.png') });

  server = await startServer(binary, port, '--origin', home);
  for (const tab of tabs) {
    await tab.at('chat-reconnect').click();
    await tab.at('echo-reconnect').click();
  }
  await bothOpen(tabs, 'after Reconnect, on a server that admits their origin alone');
  await checkForeignPage(context, port);
  await checkStop(server, tabs);
  const complaints = tabs.flatMap((tab) => tab.complaints);
  check(complaints.length === 0, `the tabs' consoles stayed silent (${complaints.join(' | ')})`);
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

setTimeout(() => finish(new Error(`not done after ${OVERALL_MS / 1000} s`)), OVERALL_MS).unref();
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => finish(new Error(`stopped by ${signal}`)));
}
main().then(() => finish(), finish);
