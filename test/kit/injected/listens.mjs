// Loaded into the daemon with --import: writes down each of its tries to listen on a TCP port (LISTEN_JOURNAL).

import { appendFileSync } from "node:fs";
import { Server } from "node:net";

// oxlint-disable-next-line typescript/unbound-method -- called on the server it belongs to
const { listen } = Server.prototype;
Server.prototype.listen = function (...args) {
  if (args[0]?.port !== undefined) appendFileSync(process.env.LISTEN_JOURNAL, `${performance.now()}\n`);
  return listen.apply(this, args);
};
