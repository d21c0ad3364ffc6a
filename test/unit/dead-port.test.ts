// A port that a test has for itself, although tests of other processes look for theirs at the same time.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { atEnd } from "../kit/lifetime.ts";
import { deadPort } from "../kit/upstream.ts";

const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";

test.runIf(process.platform === "linux")(
  "the kernel gives a test's own port to nobody, nor does another test",
  async () => {
    const port = await deadPort();
    const [lowest = 0] = readFileSync(RANGE, "utf8").trim().split(/\s+/).map(Number);
    expect(port + 1).toBeLessThan(lowest);
    const other = createSocket("udp4");
    atEnd(() => void other.close());
    other.bind({ port: port + 1, address: "127.0.0.1", exclusive: true });
    await expect(once(other, "listening")).rejects.toMatchObject({ code: "EADDRINUSE" });
  },
);
