// An upstream's port on which no process listens, or only on the other loopback address: logged early, or found.

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { injected } from "../kit/launch.ts";
import { ask, nextResponse } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { deadPort, noIPv6, rawUpstream, type RawUpstream } from "../kit/upstream.ts";

const GET = head("GET / HTTP/1.1", "Host: a");
const PROBES = ["--probe-interval", "300ms"];

/** A server that says where it is. */
const server = (host: string, port: number): Promise<RawUpstream> =>
  rawUpstream(
    (peer) => peer.socket.on("data", () => peer.send(head("HTTP/1.1 200 OK", `X-At: ${host}`, "Content-Length: 0"))),
    port,
    host,
  );

test("nobody listens: one warning for each upstream, after its first probe", async () => {
  const [web, mux] = [await deadPort(), await deadPort()];
  const daemon = await startDaemon(["--http", String(web), "--mux", `localhost:${mux}`, ...PROBES]);
  await daemon.logged(({ upstream, level }) => upstream === "mux" && level === 40, "a warning of the mux");
  // Its request and the next probes find out the same.
  const client = await dial(daemon.port);
  client.send(GET);
  const back = await server("127.0.0.1", web);
  expect((await nextResponse(client)).status).toBe(200);
  expect(back.accepted.length).toBeGreaterThan(0);
  const warnings = daemon.log.filter(({ level }) => level === 40).map(({ msg }) => msg);
  expect(warnings.toSorted()).toEqual([
    `http upstream 127.0.0.1:${web} cannot be reached yet (ECONNREFUSED); retrying`,
    `mux upstream localhost:${mux} cannot be reached yet (ECONNREFUSED); retrying`,
  ]);
});

test.skipIf(noIPv6)("a bare port is dialled on ::1 where only that answers, and stays there", async () => {
  const port = await deadPort();
  const web = await server("::1", port);
  const onDown = ["--on-down", 'echo "$SINGLE_PORT_TARGET"'];
  const daemon = await startDaemon(["--http", String(port), "--hold", "0", "--probe-interval", "100ms", ...onDown]);
  expect((await ask(daemon.port, GET)).field("x-at")).toBe("::1");
  await daemon.logged(
    ({ msg }) => msg === `upstream http answers at [::1]:${port}, not at 127.0.0.1:${port}`,
    "where it is",
  );
  await web.kill();
  await server("127.0.0.1", port);
  expect((await ask(daemon.port, GET)).status, "somebody else").toBe(503);
  // Whoever reads the log or is called looks there.
  const { what } = await daemon.logged(({ status }) => status === 503, "the refused request");
  expect(what).toContain(`[::1]:${port}`);
  const { output } = await daemon.logged(({ output }) => output !== undefined, "the end of the command");
  expect(output).toBe(`[::1]:${port}`);
});

test.skipIf(noIPv6)("a bare port that answers on both is 127.0.0.1", async () => {
  const port = await deadPort();
  await server("::1", port);
  await server("127.0.0.1", port);
  const daemon = await startDaemon(["--http", String(port)]);
  expect((await ask(daemon.port, GET)).field("x-at")).toBe("127.0.0.1");
});

test.skipIf(noIPv6)("a server that begins to listen on both between the two dials is 127.0.0.1", async () => {
  const port = await deadPort();
  await server("::1", port);
  await server("127.0.0.1", port);
  const env = { ...injected("refused-once.mjs"), REFUSED_ONCE: String(port) };
  const daemon = await startDaemon(["--http", String(port)], env);
  const at = async (): Promise<string | undefined> => (await ask(daemon.port, GET)).field("x-at");
  expect(await at()).toBe("::1");
  // The connection to the second address is in the pool now, and is not used again.
  await until(async () => (await at()) === "127.0.0.1", "the first address to be dialled again");
  expect(await at()).toBe("127.0.0.1");
  expect(daemon.log.filter(({ msg }) => msg.includes("answers at"))).toEqual([]);
});

test.skipIf(noIPv6)("an address that was given is meant: that something answers on ::1 is only said", async () => {
  const port = await deadPort();
  await server("::1", port);
  const daemon = await startDaemon(["--http", `127.0.0.1:${port}`, "--hold", "0", ...PROBES]);
  const { msg } = await daemon.logged(({ level }) => level === 40, "a warning");
  expect(msg).toBe(
    `http upstream 127.0.0.1:${port} cannot be reached yet (ECONNREFUSED); retrying. Something listens on [::1]:${port}: is that the server?`,
  );
  expect((await ask(daemon.port, GET)).status).toBe(503);
});
