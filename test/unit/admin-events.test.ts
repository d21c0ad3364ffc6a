import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createAdmin } from "../../src/ops/admin.ts";
import type { Report } from "../../src/ops/report.ts";
import { dial, head } from "../kit/client.ts";
import { atEnd } from "../kit/lifetime.ts";

test("/events: the first report comes with the past, however long that is, and not a second later", async () => {
  const second = { at: new Date().toISOString(), requests: 0, failed: 0, tunnelBytes: 0, tunnels: 0, cpuMs: 0 };
  // More than node takes without asking to wait: 64 KiB.
  const seconds = Array.from({ length: 2000 }, () => second);
  const server = createAdmin({
    report: () => ({ pid: 1, state: "running", links: [], tunnels: [], endedBadly: [] }) as unknown as Report,
    history: { seconds, follow: () => () => {} },
    metrics: () => Promise.reject(new Error("not asked for")),
    page: () => Promise.reject(new Error("not asked for")),
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(() => void server.close());
  const client = await dial((server.address() as AddressInfo).port);
  client.send(head("GET /events HTTP/1.1", "Host: a"));
  const text = await client.readUntil('data: {"pid":1');
  expect(text).toMatch(/^event: seconds\r?\ndata: \[/m);
});
