// Bystanders: a tunnel and a slow download through the same daemon, which faults of other connections must not affect.

import { expect } from "vitest";
import type { WebSocket } from "ws";
import { head, type RawClient } from "./client.ts";
import { atEnd } from "./lifetime.ts";
import { until, within } from "./until.ts";

/** A connection that runs beside the faults. */
export interface Bystander {
  /** Fails unless it still flows. */
  check(): Promise<void>;
  /** Ends it, and fails unless every byte arrived once and in order. */
  finish(): Promise<void>;
}

/** A tunnel through which a number is echoed now and then; it answers pings as a browser does. */
export async function tunnelBystander(open: () => WebSocket): Promise<Bystander> {
  const socket = open();
  const came: string[] = [];
  let closed: number | undefined;
  socket.on("error", () => {});
  socket.on("message", (data: Buffer) => came.push(data.toString()));
  socket.once("close", (code) => (closed = code));
  atEnd(() => socket.terminate());
  await within(new Promise((resolve) => socket.once("open", resolve)), "bystander tunnel");
  const sent: string[] = [];
  return {
    check: async () => {
      expect(closed, "close code of the bystander tunnel").toBeUndefined();
      const text = `${sent.length}`;
      sent.push(text);
      socket.send(text);
      await until(() => came.includes(text), `${text} back through the bystander tunnel`);
    },
    finish: async () => {
      socket.close();
      await until(() => closed !== undefined, "close of the bystander tunnel");
      expect(came).toEqual(sent);
    },
  };
}

const TICK_MS = 50;

/** A download that gets a line every 50 ms. `next` gives its connection at the upstream. */
export async function downloadBystander(
  dial: () => Promise<RawClient>,
  next: () => Promise<RawClient>,
  host = "a",
): Promise<Bystander> {
  const client = await dial();
  client.send(head("GET /bystander HTTP/1.1", `Host: ${host}`));
  const upstream = await next();
  await upstream.readUntil("\r\n\r\n");
  // An event stream has no time limit of ours: one of a second would be met whenever the machine lets this test sleep.
  upstream.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"));
  let lines = 0;
  const line = (n: number): string => `${String(n).padStart(7, "0")}\n`;
  const timer = setInterval(() => upstream.send(`8\r\n${line(lines++)}\r\n`), TICK_MS);
  atEnd(() => clearInterval(timer));
  await client.readUntil("\r\n\r\n");
  return {
    check: async () => {
      const before = client.received().length;
      await until(() => client.received().length > before, "more of the bystander download");
    },
    finish: async () => {
      clearInterval(timer);
      upstream.send("0\r\n\r\n");
      const text = await client.readUntil("\r\n0\r\n\r\n");
      // However they were put into chunks anew.
      const got = text.match(/\d{7}\n/g);
      expect(got).toEqual(Array.from({ length: lines }, (_, n) => line(n)));
    },
  };
}
