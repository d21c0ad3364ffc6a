// A TCP relay that simulates a network: it delays bytes, and can reset its connections.

import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { atEnd } from "./lifetime.ts";

/** A relay that runs. */
export interface Relay {
  port: number;
  /** Resets every connection through it, both sides, and says how many. */
  reset(): number;
}

/** Relays to a port of loopback; every byte, FIN and RST takes `delayMs` each way. */
export async function relayTo(target: number, delayMs = 0): Promise<Relay> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    open.add(near);
    near.once("close", () => open.delete(near));
    const later = (act: () => void): void => void (delayMs > 0 ? setTimeout(act, delayMs) : act());
    const join = (from: Socket, to: Socket): void => {
      from.on("error", () => later(() => to.resetAndDestroy()));
      from.on("close", () => later(() => to.destroy()));
      from.on("end", () => later(() => to.end()));
      from.on("data", (chunk) => {
        later(() => {
          if (!to.write(chunk)) from.pause();
        });
      });
      to.on("drain", () => from.resume());
    };
    join(near, far);
    join(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const reset = (): number => {
    const { size } = open;
    for (const near of open) {
      near.resetAndDestroy();
      // Its far side follows as its `close` says; a reset is what both shall see.
      near.emit("error", new Error("reset"));
    }
    return size;
  };
  atEnd(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        reset();
      }),
  );
  return { port: (server.address() as AddressInfo).port, reset };
}
