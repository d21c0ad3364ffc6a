// Listeners of an event stream: counts the events that reach each, and how long they were on their way.

import { dial, Latencies, several, within } from "./connection.mjs";

const REQUEST = Buffer.from("GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
const MARK = "data: ";
const WARM_MS = 20_000;

/**
 * @param {number} port
 * @param {{ connections: number, warmUp?: number }} options `warmUp` events are delivered before it is ready
 */
export async function events(port, { connections, warmUp = 0 }) {
  /** @type {import("node:net").Socket[]} */
  const sockets = [];
  let units = 0;
  let lost = 0;
  let latencies = new Latencies();
  let warm = () => {};
  await several(
    connections,
    () =>
      new Promise((resolve, reject) => {
        let open = false;
        const socket = dial(port, {
          onBytes(bytes) {
            if (!open) {
              open = true;
              if (bytes.toString("latin1", 0, 12) === "HTTP/1.1 200") resolve(undefined);
              else reject(new Error("an event stream was refused"));
            }
            // Both clocks count from the start of the machine.
            for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + MARK.length)) {
              units += 1;
              if (units === warmUp) warm();
              const said = Number.parseInt(bytes.toString("latin1", at + MARK.length, at + MARK.length + 24), 10);
              latencies.record(performance.now() - (Number(process.hrtime.bigint()) - said) / 1e6);
            }
          },
          onEnd: () => (lost += 1),
        });
        sockets.push(socket);
        socket.write(REQUEST);
      }),
  );
  if (units < warmUp) await within(new Promise((resolve) => (warm = () => resolve(undefined))), "warm up", WARM_MS);
  return {
    async measure(/** @type {number} */ ms) {
      units = 0;
      lost = 0;
      latencies = new Latencies();
      await new Promise((resolve) => setTimeout(resolve, ms));
      return latencies.sample(units, lost);
    },
    close() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
