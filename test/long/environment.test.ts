// What of the environment changes node beneath us, and the smuggling tests in each that matters. NODE_OPTIONS is often
// set for a whole shell or container, for the sake of some other program.
//
//   --insecure-http-parser        would have our server read smuggled requests: it says itself how strict it is
//   --max-http-header-size        would change what 431 is answered to: the size is --max-header-size
//   --throw-deprecation,          make an exception of a warning: none is ever given (http-proxy's DEP0060)
//   --pending-deprecation
//   --disable-proto, --frozen-    change the language: a field may be named __proto__
//   intrinsics
//   --stack-size                  makes deep recursion fail sooner: there is none
//   UV_THREADPOOL_SIZE            one thread for names and files: a lookup can be late, and nothing else
//   NODE_USE_ENV_PROXY, HTTP_PROXY  would send what node's own client asks to a proxy: upstreams are dialled without it
//   NODE_EXTRA_CA_CERTS           TLS ends at the front
//   NODE_DEBUG, --inspect, --require, --import  are somebody's debugger or monitor, who wanted it

import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { run } from "../kit/command.ts";
import { startDaemon } from "../kit/daemon.ts";
import { httpUpstream } from "../kit/upstream.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TESTS = ["smuggling", "smuggling-framing", "smuggled-requests", "plain-target"];

test.each([
  { NODE_OPTIONS: "--insecure-http-parser" },
  { NODE_OPTIONS: "--max-http-header-size=1024" },
  { NODE_OPTIONS: "--max-http-header-size=1000000" },
  { NODE_OPTIONS: "--throw-deprecation --pending-deprecation" },
  { NODE_OPTIONS: "--disable-proto=throw" },
  {
    UV_THREADPOOL_SIZE: "1",
    NODE_USE_ENV_PROXY: "1",
    HTTP_PROXY: "http://127.0.0.1:1",
    NODE_EXTRA_CA_CERTS: "/dev/null",
  },
])("the smuggling tests with %j", { timeout: 180_000 }, async (environment) => {
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts"];
  const files = TESTS.map((name) => `test/e2e/${name}.test.ts`);
  const env = { ...process.env, SINGLE_PORT_TEST_ENVIRONMENT: JSON.stringify(environment) };
  const { code, stdout, stderr } = await run(process.execPath, [...vitest, ...files], { cwd: ROOT, env }, 170_000);
  expect(code, `${stdout}${stderr}`.slice(-4000)).toBe(0);
});

test("a probe reads a large head all the same, and node warns of nothing", async () => {
  const web = await httpUpstream((_req, res) => {
    res.setHeader("X-Large", "x".repeat(20_000));
    res.end("ok");
  });
  const environment = { NODE_OPTIONS: "--insecure-http-parser --max-http-header-size=1024" };
  const probing = ["--http", String(web.port), "--http-probe", "/", "--probe-interval", "250ms"];
  const daemon = await startDaemon(probing, environment);
  await daemon.logged(({ msg }) => msg === "upstream http is up", "the probe's answer");
  expect(daemon.stderr()).toBe("");
});
