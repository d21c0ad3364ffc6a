// Loaded into the daemon with --import: its first dial of 127.0.0.1 and a port (REFUSED_ONCE) is refused, as it is when
// the server begins to listen right behind it.

import { Socket } from "node:net";

/** A port of loopback on which nobody listens. */
const NOBODY = 1;
let isFirst = true;

// oxlint-disable-next-line typescript/unbound-method -- called on the socket it belongs to
const { connect } = Socket.prototype;
Socket.prototype.connect = function (...args) {
  const [given] = args;
  const options = Array.isArray(given) ? given[0] : given;
  if (isFirst && options.host === "127.0.0.1" && options.port === Number(process.env.REFUSED_ONCE)) {
    isFirst = false;
    // A copy: the options are the caller's own.
    if (Array.isArray(given)) given[0] = { ...options, port: NOBODY };
  }
  return connect.apply(this, args);
};
