// A mux that runs a shell for each connection on a terminal of its own (node-pty), and speaks the subprotocol `tty`.
// What comes is typed, `{"cols":..,"rows":..}` resizes. Runs where node-pty and ws are installed; prints what happens.

import { spawn } from "node-pty";
import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  path: "/mux",
  maxPayload: 64 * 1024 * 1024,
  handleProtocols: (offered) => offered.has("tty") && "tty",
});
server.on("listening", () => console.log(`port ${server.address().port}`));
server.on("connection", (socket) => {
  const env = { PATH: process.env.PATH, PS1: "", TERM: "xterm" };
  const shell = spawn("/bin/sh", ["-i"], { cols: 80, rows: 24, env, encoding: null });
  let waiting = 0;
  shell.onData((bytes) => {
    // A terminal that nobody looks at stops its program, and does not fill the memory.
    waiting += 1;
    if (waiting > 64) shell.pause();
    socket.send(bytes, () => {
      waiting -= 1;
      if (waiting < 16) shell.resume();
    });
  });
  shell.onExit(() => socket.close(1000));
  socket.on("message", (/** @type {Buffer} */ data) => {
    const text = data.toString("utf8");
    if (text.startsWith('{"cols"')) {
      const { cols, rows } = JSON.parse(text);
      shell.resize(cols, rows);
    } else shell.write(text);
  });
  socket.on("error", () => {});
  socket.on("close", (code) => {
    console.log(`closed ${code}`);
    shell.kill("SIGKILL");
  });
});
