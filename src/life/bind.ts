// Takes the port. Called by daemon.ts; knows nothing of what is served on it.

import type { AddressInfo, Server } from "node:net";

/** Listens on `host:port`; resolves with the address once it is bound, rejects with the system's error. */
export function bind(server: Server, where: { host: string; port: number }): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where.port, where.host, () => {
      server.off("error", reject);
      // From now on an accept can fail (EMFILE): that is no reason to end.
      server.on("error", () => {});
      resolve(server.address() as AddressInfo);
    });
  });
}
