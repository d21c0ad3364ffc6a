// What must and what must not compile for a program that uses the module: read by tsc (`npm run check`), never run.

import type { AddressInfo } from "node:net";
import { CannotListen, startSinglePort, UsageError, type Report, type Settings } from "../../src/index.ts";

export const accepted: Settings[] = [
  { http: 4000 },
  {
    http: "unix:/run/app.sock",
    mux: 14801,
    port: "0",
    hold: 250,
    drain: "4s",
    replayBuffer: 1024,
    maxHeaderSize: "64k",
  },
  { http: 4000, forwarded: "off", via: false },
  { http: 4000, mux: ["14801/mux", 14802] as const, allowOrigin: "*", takeover: true, accessLog: undefined },
];

export const refused: Settings[] = [
  // @ts-expect-error: the web server is required.
  {},
  // @ts-expect-error: a slip in a name.
  { http: 4000, holdd: 250 },
  // @ts-expect-error: a switch is a boolean.
  { http: 4000, takeover: "yes" },
  // @ts-expect-error: a duration is a number or text.
  { http: 4000, hold: true },
  // @ts-expect-error: one web server.
  { http: [4000] },
];

export async function face(): Promise<[AddressInfo, string, Report]> {
  try {
    const proxy = await startSinglePort({ http: 4000 });
    await proxy.close();
    return [proxy.address, proxy.url, proxy.status()];
  } catch (error) {
    if (error instanceof UsageError) error.code satisfies "ERR_SINGLE_PORT_USAGE";
    if (error instanceof CannotListen) error.code satisfies "ERR_SINGLE_PORT_CANNOT_LISTEN";
    throw error;
  }
}
