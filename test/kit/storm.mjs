// A process of its own that is a mux, and then resets tunnels to it, so that it does not slow the test's own clock.
// Says its port on stdout; begins when it is told "<port of the proxy> <per second> <ms>" on stdin; says how many.

import { connect, createServer } from "node:net";

// A slow machine must not be met by ever more at once.
const MAX_OPEN = 200;
const ASK = "GET /mux HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
// The beginning of a frame goes with it: who leaves an idle tunnel did not end badly, and has no line.
const ANSWER = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05h";

const mux = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () => socket.write(ANSWER, "latin1"));
});
mux.listen(0, "127.0.0.1", () => process.stdout.write(`${mux.address().port}\n`));

process.stdin.once("data", (text) => {
  const [port, perSecond, ms] = text.toString().split(" ").map(Number);
  const started = performance.now();
  let begun = 0;
  let over = 0;

  function one() {
    begun += 1;
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.once("connect", () => socket.write(ASK));
    // Only now it is a tunnel.
    socket.once("data", () => socket.resetAndDestroy());
    socket.once("close", () => (over += 1));
  }

  const timer = setInterval(() => {
    const elapsed = performance.now() - started;
    const owed = elapsed < ms ? (elapsed * perSecond) / 1000 : 0;
    while (begun < owed && begun - over < MAX_OPEN) one();
    if (elapsed < ms || over < begun) return;
    clearInterval(timer);
    process.stdout.write(`${begun}\n`, () => process.exit());
  }, 5);
});
