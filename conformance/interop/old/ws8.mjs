// The npm package `ws` as a client of version 8 (draft 10): all checks of `ws.mjs`.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');

require.cache[require.resolve('ws')].exports = class extends WebSocket {
  constructor(url, options) {
    super(url, { ...options, protocolVersion: 8 });
  }
};
require('ws/package.json').version += ' in version 8';

await import('../ws.mjs');
