// Preloaded into a peer that would listen on every address of the machine: the bench stays on loopback.
"use strict";
const { Server } = require("node:net");
// oxlint-disable-next-line typescript/unbound-method -- it is called on each server, below
const { listen } = Server.prototype;
Server.prototype.listen = function (port, ...rest) {
  return typeof port === "number" ? listen.call(this, port, "127.0.0.1", ...rest) : listen.call(this, port, ...rest);
};
