// A mux in a process of its own: echoes, and prints what happens. Arguments: the port, or 0.
// /mux?half=1 begins a frame and never ends it.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const http = createServer();
const server = new WebSocketServer({ server: http, path: undefined });
server.on("connection", (client, request) => {
  client.on("error", () => {});
  client.on("message", (data, binary) => client.send(data, { binary }));
  client.on("ping", () => console.log("pinged"));
  // In one piece, so that whoever has the one has the other.
  client._socket.cork();
  client.send("hello");
  // 10 of 1000 bytes.
  const half = Buffer.concat([Buffer.from([0x82, 126, 3, 232]), Buffer.alloc(10)]);
  if (request.url?.includes("half")) client._socket.write(half);
  client._socket.uncork();
});
http.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`port ${http.address().port}`));
