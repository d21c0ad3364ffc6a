// The peers that are libraries, each as its own documentation starts it: `node proxies.mjs NAME UPSTREAM_PORT`.

import { Agent, createServer } from "node:http";
import { connect, createServer as createNetServer } from "node:net";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { CACHE } from "../fetch.mjs";

const [name = "", port = ""] = process.argv.slice(2);
const target = `http://127.0.0.1:${port}`;
const agent = () => new Agent({ keepAlive: true });
const quiet = () => {};

/** @param {string} module @returns {Promise<any>} */
async function load(module) {
  const { resolve } = createRequire(`${CACHE}package.json`);
  const loaded = await import(pathToFileURL(resolve(module)).href);
  return loaded.default ?? loaded;
}

/** http-proxy, and the two that kept its interface. @param {any} proxy */
function likeHttpProxy(proxy, upgradeOptions = /** @type {unknown[]} */ ([])) {
  proxy.on("error", (/** @type {unknown} */ _error, /** @type {unknown} */ _req, /** @type {any} */ res) => {
    if (res?.writeHead && !res.headersSent) res.writeHead(502).end();
    else res?.destroy?.();
  });
  const server = createServer((req, res) => void proxy.web(req, res));
  server.on("upgrade", (req, socket, head) => {
    socket.on("error", quiet);
    proxy.ws(req, socket, ...upgradeOptions, head);
  });
  return server;
}

/** @type {Record<string, () => Promise<any>>} */
const proxies = {
  /** Nothing but bytes: the limit of what node:net can do. */
  pipe: async () =>
    createNetServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const upstream = connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
      client.on("error", () => upstream.destroy());
      upstream.on("error", () => client.destroy());
      client.pipe(upstream);
      upstream.pipe(client);
    }),
  "http-proxy": async () => {
    const { default: httpProxy } = await import("http-proxy");
    return likeHttpProxy(httpProxy.createProxyServer({ target, agent: agent() }));
  },
  "http-proxy-3": async () => {
    const { createProxyServer } = await load("http-proxy-3");
    return likeHttpProxy(createProxyServer({ target, agent: agent() }));
  },
  httpxy: async () => {
    const loaded = await import(pathToFileURL(`${CACHE}node_modules/httpxy/dist/index.mjs`).href);
    return likeHttpProxy(loaded.createProxyServer({ target, agent: agent() }), [{}]);
  },
  "@fastify/http-proxy": async () => {
    const [fastify, plugin] = await Promise.all([load("fastify"), load("@fastify/http-proxy")]);
    const app = fastify({ forceCloseConnections: true });
    // Its default of 128 connections would not carry the event streams.
    app.register(plugin, { upstream: target, websocket: true, undici: { connections: 8192 } });
    await app.ready();
    return app.server;
  },
  /** A relay that takes messages apart and makes them anew. */
  "ws relay": async () => {
    const { WebSocket, WebSocketServer } = await import("ws");
    const server = createServer();
    new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (client) => {
      const upstream = new WebSocket(`ws://127.0.0.1:${port}/mux`, { perMessageDeflate: false });
      client.on("error", quiet);
      upstream.on("error", quiet);
      /** @type {[any, boolean][] | undefined} */
      let early = [];
      client.on("message", (data, binary) => {
        if (early) early.push([data, binary]);
        else upstream.send(data, { binary });
      });
      upstream.on("open", () => {
        for (const [data, binary] of early ?? []) upstream.send(data, { binary });
        early = undefined;
      });
      upstream.on("message", (data, binary) => client.send(data, { binary }));
      client.on("close", () => upstream.terminate());
      upstream.on("close", () => client.terminate());
    });
    return server;
  },
};

const server = await proxies[name]?.();
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  process.stdout.write(`listening on ${server.address().port}\n`);
});
