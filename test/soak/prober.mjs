// Asks all the time, steadily, like a page that is open while the storm goes on: not one failure is allowed.

import { Agent, get } from "node:http";
import { WebSocket } from "ws";

const GET_EVERY_MS = 25;
const FRESH_EVERY_MS = 100;
const ECHO_EVERY_MS = 50;
/** One waits behind the other on the kept connection. */
const MAX_WAITING = 20;
/** No limit of the proxy may be met, however busy the machine. */
const PATIENCE_MS = 20_000;

/** Begins to ask. @param {number} port @param {string[]} muxes paths on which a tunnel is kept */
export function startProber(port, muxes) {
  const failures = [];
  let gets = 0;
  let echoes = 0;
  const open = { waiting: 0 };
  let slowestMs = 0;
  let stopping = false;
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const fail = (what) => void (failures.length < 20 && failures.push(`prober: ${what}`));
  const took = (began) => void (slowestMs = Math.max(slowestMs, performance.now() - began));

  /** On one connection that is never idle for long, or on one of its own. */
  const ask = (agent) => {
    const target = `/plain?prober=${gets}`;
    const began = performance.now();
    gets += 1;
    open.waiting += 1;
    const over = (problem) => {
      open.waiting -= 1;
      took(began);
      if (problem !== undefined) fail(`GET: ${problem}`);
    };
    const request = get({ port, host: "127.0.0.1", path: target, agent, timeout: PATIENCE_MS }, (response) => {
      let body = "";
      response.setEncoding("latin1").on("data", (text) => (body += text));
      response.on("close", () => {
        const fine = response.statusCode === 200 && body === target && response.complete;
        over(fine ? undefined : `${response.statusCode} ${body.slice(0, 200)}`);
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", (error) => !request.res && over(error.message));
  };

  const tunnels = muxes.map((path) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    let sent = 0;
    let came = 0;
    let sentAt = 0;
    socket.on("error", (error) => fail(`${path}: ${error.message}`));
    socket.on("close", (code) => !stopping && fail(`${path} closed with ${code} after ${came} echoes`));
    socket.on("message", (/** @type {Buffer} */ data) => {
      const text = data.toString("latin1");
      if (text !== `${came}`) fail(`${path}: ${text} instead of ${came}`);
      came += 1;
      echoes += 1;
      took(sentAt);
    });
    return {
      tick: () => {
        if (socket.readyState !== WebSocket.OPEN) return;
        if (sent > came) {
          if (performance.now() - sentAt > PATIENCE_MS) fail(`${path}: no echo of ${came}`);
          return;
        }
        sentAt = performance.now();
        socket.send(`${sent++}`);
      },
      close: () =>
        new Promise((resolve) => {
          socket.once("close", resolve);
          socket.close(1000);
        }),
    };
  });

  const timers = [
    setInterval(() => open.waiting < MAX_WAITING && ask(kept), GET_EVERY_MS),
    setInterval(() => ask(false), FRESH_EVERY_MS),
    setInterval(() => tunnels.forEach(({ tick }) => tick()), ECHO_EVERY_MS),
  ];
  return {
    failures,
    /** Exchanges it made, tunnels included. */
    get exchanges() {
      return gets + muxes.length;
    },
    get statuses() {
      return { 200: gets, 101: muxes.length };
    },
    get said() {
      return `${gets} GET, ${echoes} echoes, slowest ${Math.round(slowestMs)} ms`;
    },
    /** Ends it, once all answers are there. */
    async stop() {
      timers.forEach((timer) => clearInterval(timer));
      const deadline = performance.now() + PATIENCE_MS;
      while (open.waiting > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
      stopping = true;
      await Promise.all(tunnels.map(({ close }) => close()));
      kept.destroy();
    },
  };
}
