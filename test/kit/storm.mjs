// A process of its own that resets connections in the middle of an answer: `node storm.mjs <port> <count> <per second>`.
// Its stdout says when it is done. In a process of its own so that it does not slow the test's own clock.

import { connect } from "node:net";

const [port, count, perSecond] = process.argv.slice(2).map(Number);
const started = performance.now();
let begun = 0;
let over = 0;

function one() {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.once("connect", () => socket.write("GET /endless HTTP/1.1\r\nHost: storm\r\n\r\n"));
  // Only now the request is one that the proxy knows of.
  socket.once("data", () => socket.resetAndDestroy());
  socket.once("close", () => {
    over += 1;
    if (over === count) process.stdout.write("done\n");
  });
}

const timer = setInterval(() => {
  const due = Math.min(count, ((performance.now() - started) / 1000) * perSecond);
  for (; begun < due; begun += 1) one();
  if (begun === count) clearInterval(timer);
}, 5);
