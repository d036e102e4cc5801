// Drives the built-in page of `clws serve` in a real browser: two tabs chat and echo, over TLS too,
// pages from other ports are refused or let in, and a stopping server says goodbye with 1001.
//
//   npm install --no-save playwright-core     (in this directory, or anywhere NODE_PATH names)
//   node page.mjs --server PATH_TO_CLWS --out DIR
//
// Needs Chromium at /usr/bin/chromium (or CHROMIUM=path). Screenshots go to DIR.
import { X509Certificate, createHash } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import tls from 'node:tls';
import {
  bothOpen, checkBound, checkChat, checkCompressed, checkEcho, checkFollowing, checkLatency,
  checkMarkup, checkStop, takePictures,
} from './checks.mjs';
import {
  check, freePort, openTab, options, run, servePage, startBrowser, startServer,
} from './rig.mjs';

/** A page from another port: its script tries the server's echo, its title tells what became. */
function foreignPage(port) {
  return servePage(`<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title><script>
    const socket = new WebSocket('ws://127.0.0.1:${port}/echo');
    socket.onopen = () => { socket.send('hello'); };
    socket.onmessage = ({ data }) => { document.title += ' heard ' + data; socket.close(); };
    socket.onclose = ({ code }) => { document.title += ' closed ' + code; };
  </script>`);
}

/** What the title of a foreign page says in the end. */
async function fateOf(tab) {
  await tab.page.waitForFunction(() => / closed /.test(document.title));
  return tab.page.title();
}

async function checkForeignPages(context, port, admitted) {
  const refused = await openTab(context, await foreignPage(port));
  const title = await fateOf(refused);
  check(title === 'Elsewhere closed 1006', `a page from another port is refused ("${title}")`);
  const expected = refused.complaints.filter((text) => /ws:.*\/echo.* 403$/.test(text));
  check(expected.length === 1 && refused.complaints.length === 1,
    `its console tells of the refused connection alone (${refused.complaints.join(' | ')})`);
  const other = await openTab(context, admitted);
  const heard = await fateOf(other);
  check(/^Elsewhere heard hello closed 1005$/.test(heard) && other.complaints.length === 0,
    `a page from another port that is admitted connects ("${heard}")`);
}

async function checkPlain(context, binary, out) {
  const port = await freePort();
  const home = `http://127.0.0.1:${port}`;
  let server = await startServer(binary, port);
  const tabs = [await openTab(context, `${home}/`), await openTab(context, `${home}/`)];
  const [first, second] = tabs;
  await bothOpen(tabs, 'on a server with default origins');
  check(await first.page.title() === 'CLWS', 'the title is CLWS');
  tabs.forEach(checkCompressed);
  await checkChat(first, second);
  await checkEcho(first);
  await checkLatency(first);
  await takePictures(first, out);
  await checkMarkup(first, second);
  await checkBound(second);
  await checkFollowing(second);
  await checkStop(server, tabs);
  await first.page.screenshot({ path: path.join(out, 'page-closed.png') });

  const admitted = await foreignPage(port);
  server = await startServer(binary, port, '--origin', home, '--origin', admitted);
  for (const tab of tabs) {
    await tab.at('chat-reconnect').click();
    await tab.at('echo-reconnect').click();
  }
  await bothOpen(tabs, 'after Reconnect, on a server that names their origin');
  await checkForeignPages(context, port, admitted);
  await checkStop(server, tabs);
  const complaints = tabs.flatMap((tab) => tab.complaints);
  check(complaints.length === 0, `the tabs' consoles stayed silent (${complaints.join(' | ')})`);
}

/** What Chromium calls the key of a server's certificate. */
async function keyHash(port) {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const certificate = new X509Certificate(socket.getPeerCertificate().raw);
  socket.destroy();
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('base64');
}

/** The page over `https:`, its sockets over `wss:`, with a certificate that nobody vouches for. */
async function checkSecure(wary, binary) {
  const [port, tlsPort] = [await freePort(), await freePort()];
  const home = `https://127.0.0.1:${tlsPort}/`;
  const server = await startServer(binary, port, '--tls-self-signed',
    '--tls-listen', `127.0.0.1:${tlsPort}`);
  const why = await openTab(wary, home).then(() => 'it came', (error) => error.message);
  check(why.includes('ERR_CERT_AUTHORITY_INVALID'),
    `the browser warns of the made-up certificate (${why.split('\n')[0]})`);

  const trusting = await startBrowser(
    `--ignore-certificate-errors-spki-list=${await keyHash(tlsPort)}`);
  const tabs = [await openTab(trusting, home), await openTab(trusting, home)];
  await bothOpen(tabs, 'over TLS');
  for (const { page, response, sockets } of tabs) {
    const { protocol } = await response.securityDetails();
    const scheme = await page.evaluate(() => location.protocol);
    check(protocol === 'TLS 1.3' && scheme === 'https:',
      `the page came by ${scheme} (${protocol})`);
    check(sockets.length === 2 && sockets.every((url) => url.startsWith('wss:')),
      `its sockets came by wss: (${sockets.join(' | ')})`);
  }
  tabs.forEach(checkCompressed);
  await checkChat(...tabs);
  await checkEcho(tabs[0]);
  await checkStop(server, tabs);
  const complaints = tabs.flatMap((tab) => tab.complaints);
  check(complaints.length === 0, `the tabs' consoles stayed silent (${complaints.join(' | ')})`);
}

run(async () => {
  const { server: binary, out } = options();
  const context = await startBrowser();
  await checkPlain(context, binary, out);
  await checkSecure(context, binary);
});
