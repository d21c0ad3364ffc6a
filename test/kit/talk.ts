// A conversation through a tunnel in which each side in turn is silent until it has been pinged often, while the other
// streams. The talking half checks; the answering half runs on any WebSocket (browsers, Node, ws).

import type { WebSocket } from "ws";
import { until } from "./until.ts";

/** What browsers, Node and ws have in common. */
export interface AnyWebSocket {
  send(text: string): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
}

/**
 * The answering half. Self-contained, so that it also runs in a page: counts numbered texts, streams its own between
 * `go` and `stop`, then says how many it got and sent.
 */
export function answer(socket: AnyWebSocket): void {
  let received = 0;
  let sent = 0;
  let stream: ReturnType<typeof setInterval>;
  socket.addEventListener("message", ({ data }) => {
    const text = String(data);
    if (text === "go") {
      stream = setInterval(() => {
        socket.send(`${sent} ${"y".repeat((sent * 37) % 4000)}`);
        sent += 1;
      }, 3);
    } else if (text === "stop") {
      clearInterval(stream);
      socket.send(`done ${received} ${sent}`);
    } else if (text.startsWith(`${received} `)) received += 1;
    else socket.send(`out of order: ${text.slice(0, 20)}`);
  });
}

/**
 * The talking half: streams until `otherWasPinged`, then is silent while the other streams until `thisWasPinged`.
 * Resolves when both counted what was sent.
 */
export async function talk(
  socket: WebSocket,
  otherWasPinged: () => Promise<boolean>,
  thisWasPinged: () => Promise<boolean>,
): Promise<void> {
  let sent = 0;
  let received = 0;
  let verdict = "";
  socket.on("message", (data: Buffer) => {
    const text = data.toString();
    if (text.startsWith(`${received} `)) received += 1;
    else verdict ||= text;
  });
  const stream = setInterval(() => {
    socket.send(`${sent} ${"x".repeat((sent * 41) % 5000)}`);
    sent += 1;
  }, 3);
  try {
    await until(otherWasPinged, `pings to the answering side; it said ${verdict}`, 10_000);
  } finally {
    clearInterval(stream);
  }
  socket.send("go");
  await until(thisWasPinged, `pings to the talking side; the other said ${verdict}`, 10_000);
  socket.send("stop");
  await until(() => verdict !== "", "the sum of the other side");
  if (verdict !== `done ${sent} ${received}`) throw new Error(`sent ${sent}, received ${received}; other: ${verdict}`);
}
