// A dashboard and a mux as a process of its own, so that tests can kill, stop and freeze it.
// argv: port, file. Every POST is written to the file before it is answered: what was acted on survives a SIGKILL.

import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const [port, journal] = process.argv.slice(2);

const server = createServer((req, res) => {
  if (req.url.startsWith("/events")) {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.write("data: hello\n\n");
    if (req.url === "/events/ticking") setInterval(() => res.write("data: tick\n\n"), 20);
    return;
  }
  if (req.url === "/crash") process.exit(1);
  if (req.method !== "POST") {
    res.setHeader("Content-Type", "text/html");
    res.end("<!doctype html><title>Dashboard</title><h1>The dashboard</h1>");
    return;
  }
  req.resume().on("end", () => {
    appendFileSync(journal, `${String(req.headers["x-id"])}\n`);
    // Dies after it acted and before it answered.
    if (req.url === "/act-and-die") process.kill(process.pid, "SIGKILL");
    res.end("acted");
  });
});

const mux = new WebSocketServer({ noServer: true });
server.on("upgrade", (req, socket, head) => {
  socket.on("error", () => {});
  mux.handleUpgrade(req, socket, head, (ws) => ws.on("message", (data, binary) => ws.send(data, { binary })));
});

// Ctrl-C as most servers take it: no new connections, and then it waits for those that stand. Event streams never end.
process.on("SIGINT", () => server.close());

server.listen(Number(port), "127.0.0.1", () => process.stdout.write(`listening ${server.address().port}\n`));
