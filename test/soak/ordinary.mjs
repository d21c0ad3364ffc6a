// What goes well beside the storm: requests that have to get their answer, and tunnels that have to echo.

import { Dialled, FORGOTTEN_MS, isWhole } from "./dialled.mjs";
import { closeCodeOf, closeFrame, Frames, repliesTo, textFrame } from "./frames.mjs";

/** @typedef {import("./dialled.mjs").Played} Played */

const UPLOAD = "x".repeat(20_000);
const HALF_A_SECOND = 500;

/** What goes well beside the storm: by name, what is sent and what has to be the answer. */
const ORDINARY = {
  get: (n) => ({ ask: `GET /plain?${n} HTTP/1.1\r\nHost: a\r\n\r\n`, body: `/plain?${n}` }),
  big: () => ({ ask: "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", body: "0123456789abcdef".repeat(8192) }),
  post: (n) => ({
    ask: `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD.length + String(n).length}\r\n\r\n${UPLOAD}${n}`,
    body: `${UPLOAD}${n}`,
  }),
};

/** The body of an answer, without its chunks' sizes. @param {string} answer */
function bodyOf(answer) {
  const at = answer.indexOf("\r\n\r\n") + 4;
  const body = answer.slice(at);
  if (!/^transfer-encoding: *chunked/im.test(answer.slice(0, at))) return body;
  let plain = "";
  let from = 0;
  for (;;) {
    const eol = body.indexOf("\r\n", from);
    const size = Number.parseInt(body.slice(from, eol), 16);
    if (!(size > 0)) return plain;
    plain += body.slice(eol + 2, eol + 2 + size);
    from = eol + 2 + size + 2;
  }
}

/**
 * Makes a request that has to go well. @param {number} port @param {"get" | "big" | "post"} kind @param {number} n
 * @returns {Promise<Played>}
 */
export function playOrdinary(port, kind, n) {
  return new Promise((resolve) => {
    const { ask, body } = ORDINARY[kind](n);
    const dialled = new Dialled(port);
    const finish = (failure) => {
      clearTimeout(timer);
      dialled.socket.resetAndDestroy();
      const said = failure && `ordinary ${kind}: ${failure}; came ${JSON.stringify(dialled.text.slice(0, 300))}`;
      resolve({ status: 200, sure: failure === undefined, ...(said ? { failure: said } : {}) });
    };
    const timer = setTimeout(() => finish("no answer"), FORGOTTEN_MS);
    dialled.socket.once("connect", () => dialled.send(ask));
    dialled.onText = () => {
      if (!isWhole(dialled.answer, false)) return;
      finish(dialled.status === 200 && bodyOf(dialled.answer) === body ? undefined : "another answer");
    };
    dialled.onEnded = () => finish(`ended (${dialled.ended})`);
  });
}

/**
 * Opens a tunnel, has some texts echoed, and closes it. On a mux that is killed and frozen meanwhile anything may
 * happen but that nothing does.
 *
 * @param {number} port @param {string} path @param {number} texts @param {boolean} frail @returns {Promise<Played>}
 */
export function playTunnel(port, path, texts, frail) {
  return new Promise((resolve) => {
    const dialled = new Dialled(port);
    const frames = new Frames();
    let echoed = 0;
    let open = false;
    const finish = (failure) => {
      clearTimeout(timer);
      dialled.socket.resetAndDestroy();
      const said = failure && `tunnel to ${path}: ${failure} after ${echoed} texts`;
      resolve({ status: 101, sure: !frail && failure === undefined, ...(said ? { failure: said } : {}) });
    };
    const timer = setTimeout(() => finish("no end"), FORGOTTEN_MS);
    dialled.socket.once("connect", () =>
      dialled.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`),
    );
    const next = () => {
      if (dialled.ended !== undefined) return;
      dialled.socket.write(echoed < texts ? textFrame(`text ${echoed}`, true) : closeFrame(1000, true));
    };
    dialled.onText = (chunk) => {
      let bytes = chunk;
      if (!open) {
        const { answer, status } = dialled;
        if (status === 0) return;
        if (status !== 101) return finish(frail ? undefined : `status ${status}`);
        open = true;
        bytes = Buffer.from(answer.slice(answer.indexOf("\r\n\r\n") + 4), "latin1");
        next();
      }
      const came = frames.push(bytes);
      if (dialled.socket.writableEnded) return;
      for (const reply of repliesTo(came, { masked: true, echo: false })) dialled.socket.write(reply);
      const texted = came.filter(({ opcode }) => opcode === 1);
      if (texted.some(({ payload }, i) => payload.toString() !== `text ${echoed + i}`)) return finish("another echo");
      if (closeCodeOf(came) !== undefined && !frail && echoed + texted.length < texts) return finish("a Close");
      echoed += texted.length;
      if (texted.length > 0) setTimeout(next, Math.random() * HALF_A_SECOND);
      if (closeCodeOf(came) !== undefined) dialled.socket.end();
    };
    dialled.onEnded = () =>
      finish(frail || (echoed === texts && dialled.ended === "fin") ? undefined : `ended (${dialled.ended})`);
  });
}
