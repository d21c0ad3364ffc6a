// A server for posts.mjs: node's own, which writes down each POST that it has acted on before it answers. Stopped by
// SIGTERM it closes its idle connections and answers what is in flight; killed, it does not.

import { openSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const [port = "0", file = "", keepAliveMs = "5000", promise = ""] = process.argv.slice(2);
const acted = openSync(file, "a");

const server = createServer({ keepAliveTimeout: Number(keepAliveMs) }, (req, res) => {
  req.resume().on("end", () => {
    writeSync(acted, `${String(req.headers["x-id"])}\n`);
    // Named by us, node does not add what it would promise itself.
    if (promise !== "") res.setHeader("Connection", "keep-alive").setHeader("Keep-Alive", promise);
    // Node itself waits for a second more than it was told.
    res.once("finish", () => req.socket.setTimeout(Number(keepAliveMs)));
    res.end("ok");
  });
});
process.once("SIGTERM", () => {
  server.close(() => process.exit());
  server.closeIdleConnections();
});
process.on("disconnect", () => process.exit());
server.listen(Number(port), "127.0.0.1", () => {
  process.send?.(/** @type {import("node:net").AddressInfo} */ (server.address()).port);
});
