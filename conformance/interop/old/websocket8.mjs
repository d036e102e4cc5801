// The npm package `websocket` as a client of version 8 (draft 10): all checks of `websocket.mjs`.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const library = require('websocket');
const { client: Client } = library;

library.client = class extends Client {
  constructor(options) {
    super({ ...options, webSocketVersion: 8 });
  }
};
require('websocket/package.json').version += ' in version 8';

await import('../websocket.mjs');
