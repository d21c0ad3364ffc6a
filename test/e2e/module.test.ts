import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { until } from "../kit/until.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { CannotListen, startSinglePort, UsageError } from "../../dist/index.js";

/** A server on a free port, until the test ends. */
async function listening(): Promise<{ port: number; close: () => Promise<unknown> }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): Promise<unknown> => new Promise((resolve) => server.close(resolve));
  onTestFinished(() => void close());
  return { port: (server.address() as AddressInfo).port, close };
}

test("a start that fails for its port lets go of the address of --admin", async () => {
  const [taken, admin] = [await listening(), await listening()];
  await admin.close();
  const options = {
    port: String(taken.port),
    http: "1",
    admin: String(admin.port),
    bindRetry: "0",
    logLevel: "silent",
  };
  await expect(startSinglePort(options)).rejects.toThrow("is in use");
  const again = createServer().listen(admin.port, "127.0.0.1");
  await once(again, "listening");
  again.close();
});

test("a program sees where it listens, its status, and its end", async () => {
  const proxy = await startSinglePort({ port: 0, http: 1, host: "0.0.0.0", hold: 0, drain: 250 });
  const { address, url } = proxy;
  expect(url).toBe(`http://127.0.0.1:${address.port}`);
  expect((await fetch(`${url}/`, { redirect: "manual" })).status).toBe(503);
  expect(proxy.status()).toMatchObject({ name: "single-port", state: "running", listening: `0.0.0.0:${address.port}` });
  await proxy.close();
  expect(proxy.status().state).toBe("stopped");
});

test("the report lists what is in flight from the oldest on, also after an older one has ended", async () => {
  const answers = new Map<string | undefined, ServerResponse>();
  const upstream = await httpUpstream((req, res) => void answers.set(req.url, res));
  const proxy = await startSinglePort({ port: 0, http: upstream.port, drain: 0 });
  onTestFinished(() => proxy.close());
  for (const path of ["/first", "/second", "/third"]) {
    (await dial(proxy.address.port)).send(head(`GET ${path} HTTP/1.1`, "Host: a"));
    await until(() => answers.has(path), `${path} at the upstream`);
  }
  answers.get("/first")?.end();
  await until(() => proxy.status().inFlight.length === 2, "the end of the first request");
  expect(proxy.status().inFlight.map(({ path }) => path)).toEqual(["/second", "/third"]);
});

test("what fails has a name and a code", async () => {
  const taken = await listening();
  await expect(startSinglePort({ http: 1, hold: "soon" })).rejects.toMatchObject({
    name: "UsageError",
    code: "ERR_SINGLE_PORT_USAGE",
  });
  await expect(startSinglePort({ http: 1, port: taken.port, bindRetry: 0 })).rejects.toMatchObject({
    name: "CannotListen",
    code: "ERR_SINGLE_PORT_CANNOT_LISTEN",
  });
  expect(new UsageError("x")).toBeInstanceOf(Error);
  expect(new CannotListen("x").denied).toBe(false);
});
