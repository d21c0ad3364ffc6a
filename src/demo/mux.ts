// The demo's mux: a WebSocket server that echoes, and resets a client on request. Run by part.ts as a child process.

import { createServer } from "node:http";
import type { Socket } from "node:net";
import { WebSocketServer } from "ws";
import { killSelf, serve } from "./part.ts";

/** Open connections, by the id that each page chose. */
const sockets = new Map<string, Socket>();
const webSockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 });
const server = createServer((_, res) => res.writeHead(426).end());

server.on("upgrade", (req, stream, head) => {
  const socket = stream as Socket;
  socket.on("error", () => {});
  const id = new URLSearchParams(req.url?.split("?")[1]).get("id") ?? "";
  webSockets.handleUpgrade(req, socket, head, (client) => {
    sockets.set(id, socket);
    socket.once("close", () => sockets.get(id) === socket && sockets.delete(id));
    client.on("error", () => {});
    client.on("message", (data, binary) => client.send(data, { binary }));
    // The pid, so that the page can show that the mux was restarted.
    client.send(`pid ${process.pid}`);
  });
});

serve(server, (hurt) => {
  if (hurt.hurt === "kill") return killSelf();
  sockets.get(hurt.id)?.resetAndDestroy();
});
