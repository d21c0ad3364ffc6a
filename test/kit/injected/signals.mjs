// Loaded into the daemon with --import: it is signalled (SIGNAL) at a moment of its start (SIGNAL_AT) that nobody from
// outside could hit: "listen" (its first try) or "listening" (the moment it has the port).

import { Server } from "node:net";

const { SIGNAL, SIGNAL_AT } = process.env;
const signal = (moment) => void (moment === SIGNAL_AT && process.kill(process.pid, SIGNAL));

// oxlint-disable-next-line typescript/unbound-method -- called on the server it belongs to
const { listen } = Server.prototype;
Server.prototype.listen = function (...args) {
  if (args[0]?.port !== undefined) {
    signal("listen");
    this.once("listening", () => signal("listening"));
  }
  return listen.apply(this, args);
};
