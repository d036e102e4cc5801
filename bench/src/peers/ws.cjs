// An echo server on `ws`, with the settings that its documentation recommends for compression.
'use strict';
const { WebSocketServer } = require('ws');

const { host, port, level, takeover } = JSON.parse(process.argv[2]);
const server = new WebSocketServer({
  host,
  port,
  path: '/echo',
  perMessageDeflate: {
    zlibDeflateOptions: { level },
    serverNoContextTakeover: !takeover,
    clientNoContextTakeover: !takeover,
    threshold: 1024,
  },
});
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
