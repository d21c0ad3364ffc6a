// A side that is paused, because the other takes nothing, cannot be heard: its silence proves nothing.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { answerPings, closeCode, framesOf, frameHead } from "../kit/frames.ts";
import { rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const FLOOD = Buffer.alloc(12 * 1024 * 1024, "x");
const WITNESSES = 2;
const SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade");
const LIMITS = ["--ping-interval", "200ms", "--ping-timeout", "400ms", "--stall-timeout", "20s"];

test.each(["client", "upstream"] as const)(
  "the %s that waits for the other side to read is not half-open",
  { timeout: 15_000 },
  async (side) => {
    const mux = await rawUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, ...LIMITS]);
    const open = async (): Promise<{ client: Awaited<ReturnType<typeof dial>>; upstream: typeof client }> => {
      const client = await dial(daemon.port);
      client.send(upgrade());
      const upstream = await mux.next();
      await upstream.readUntil("\r\n\r\n");
      upstream.send(SWITCHING);
      await client.readUntil("\r\n\r\n");
      return { client, upstream };
    };

    const { client, upstream } = await open();
    const [sender, reader] = side === "client" ? [client, upstream] : [upstream, client];
    answerPings(sender, side === "client");
    reader.stall();
    // No ping goes to the reader, whose silence would be its own: it stands in the middle of a frame.
    sender.send(Buffer.concat([frameHead(0x2, FLOOD.length, side === "client"), FLOOD]));

    // Witnesses of the time that passes: each is found half-open after all that the sender may be silent for.
    for (let witness = 0; witness < WITNESSES; witness += 1) {
      const silent = await open();
      await within(silent.client.ended, "a silent tunnel to be ended", 5000);
    }

    const lost = (): unknown[] => daemon.log.filter(({ how }) => how === "no_pong");
    await until(() => lost().length >= WITNESSES, "their lines in the log");
    expect(lost()).toHaveLength(WITNESSES);
    reader.socket.resume();
    await until(() => reader.socket.bytesRead > FLOOD.length, "the whole frame", 10_000);
    expect(framesOf(reader)[0]?.payload.equals(FLOOD)).toBe(true);
    expect(closeCode(sender)).toBeUndefined();
  },
);
