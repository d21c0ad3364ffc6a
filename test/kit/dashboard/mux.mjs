// A WebSocket mux that runs real shells: one for each connection. Arguments: the port.

import { spawn } from "node-pty";
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), path: "/mux" });
server.on("listening", () => process.stdout.write("listening\n"));
server.on("connection", (socket) => {
  const shell = spawn("/bin/sh", ["-i"], {
    cols: 80,
    rows: 24,
    env: { PATH: process.env.PATH, PS1: "ready> ", TERM: "xterm" },
  });
  shell.onData((text) => socket.send(Buffer.from(text)));
  shell.onExit(() => socket.close(1000));
  socket.on("message", (/** @type {Buffer} */ data) => shell.write(data.toString("utf8")));
  socket.on("error", () => {});
  socket.on("close", () => shell.kill());
});
