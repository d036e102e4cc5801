// What a person does with the page and sees there, in one tab or two, whatever serves it.
import path from 'node:path';
import { DESKTOP, STEP_MS, check, eventually } from './rig.mjs';

const GREETING = 'Grüße, Ελλάδα, привет, 𝔸 → €';
const MARKUP = '<img src=x onerror="window.pwned = 1"><b>not bold</b>';

export async function bothOpen(tabs, when) {
  const states = tabs.flatMap((tab) => [tab.state('chat', 'open'), tab.state('echo', 'open')]);
  await eventually(Promise.all(states), `both tabs show chat and echo open ${when}`);
}

async function say(tab, text) {
  await tab.at('chat-input').fill(text);
  await tab.at('chat-input').press('Enter');
}

export async function checkChat(first, second) {
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

export async function checkEcho(tab) {
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

export async function checkLatency(tab) {
  await tab.at('latency-toggle').click();
  const measured = tab.page.waitForFunction(() => {
    const shown = [...document.querySelectorAll('[data-testid=latency] dd')];
    return shown.length === 4 && shown.every((cell) => /^\d+(\.\d+)?$/.test(cell.textContent));
  });
  await eventually(measured, 'latency shows last, min, median and max as numbers');
  await eventually(tab.page.locator('[data-testid=latency][data-samples="5"]').waitFor(),
    'latency goes on measuring');
}

export async function takePictures(tab, out) {
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

export async function checkMarkup(first, second) {
  await say(first, MARKUP);
  await eventually(second.line('chat', MARKUP).waitFor(), 'markup in a message is shown as text');
  const found = await second.page.evaluate(() =>
    document.querySelectorAll('.log img, .log b').length + (window.pwned ?? 0));
  check(found === 0, 'markup in a message made no element and ran nothing');
}

const atEnd = (tab) => tab.at('echo-log').evaluate((log) =>
  log.scrollHeight - log.scrollTop - log.clientHeight < 2);

export async function checkBound(tab) {
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

export async function checkFollowing(tab) {
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
export async function checkStop(server, tabs) {
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


/** RFC 7692: what the browser offered was agreed, in every opening handshake of the tab. */
export function checkCompressed(tab) {
  const agreed = tab.handshakes.map(({ status, headers }) => {
    const [, value] = Object.entries(headers)
      .find(([name]) => name.toLowerCase() === 'sec-websocket-extensions') ?? [];
    return `${status} ${value}`;
  });
  const own = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
  check(agreed.length === 2 && agreed.every((answer) => answer === `101 ${own}`),
    `chat and echo agreed on compression (${agreed.join(' | ')})`);
}
