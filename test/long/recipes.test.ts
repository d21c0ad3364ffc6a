// What the README prints, run: a Caddyfile with a password, the Dockerfile, the Kubernetes pod. The other fronts'
// recipes are run by front-*.test.ts and cloudflared.test.ts.

import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { optionTable } from "../../src/options/options.ts";
import { tempFolder } from "../kit/child.ts";
import { head, upgrade } from "../kit/client.ts";
import { run } from "../kit/command.ts";
import { BIN, cleanEnv, NODE, startDaemon } from "../kit/daemon.ts";
import { caddyfileWithPassword, FRONTS, noFront } from "../kit/fronts.ts";
import { nextResponse } from "../kit/messages.ts";
import { ask, exitOf } from "../kit/ops.ts";
import { noYaml, parseYaml, readmeBlock, ROOT, substitute } from "../kit/readme.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, muxUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A dashboard and a mux, as the recipes expect them behind the proxy. */
async function upstreams(): Promise<{ web: number; mux: number; opened: () => number }> {
  const web = await httpUpstream((_req, res) => res.end("the dashboard"));
  const mux = await muxUpstream();
  return { web: web.port, mux: mux.port, opened: () => mux.clients.length };
}

test.skipIf(noFront("Caddy"))(
  "Caddy with a password: without it neither the page nor a shell",
  { timeout: 90_000 },
  async () => {
    const { web, mux, opened } = await upstreams();
    const daemon = await startDaemon(["--http", String(web), "--mux", `${mux}/mux`]);
    const caddyfile = caddyfileWithPassword(daemon.port, "open sesame");
    const front = await FRONTS["Caddy with TLS"](daemon.port, { caddyfile });
    const as = async (password: string | undefined, request: string): Promise<number> => {
      const client = await front.dial();
      const word = Buffer.from(`you:${password}`).toString("base64");
      const fields = password === undefined ? "" : `Authorization: Basic ${word}\r\n`;
      client.send(request.replace("Host: localhost\r\n", `Host: ${front.host}\r\n${fields}`));
      // bcrypt takes its time.
      return (await nextResponse(client, "GET", 10_000)).status;
    };
    const page = head("GET / HTTP/1.1", "Host: localhost");
    const shell = upgrade("/mux", `Origin: ${front.origin}`);
    expect([await as(undefined, page), await as(undefined, shell)]).toEqual([401, 401]);
    expect(await as("guessed", shell)).toBe(401);
    expect(opened()).toBe(0);
    expect([await as("open sesame", page), await as("open sesame", shell)]).toEqual([200, 101]);
    expect(opened()).toBe(1);
  },
);

/** The steps of a Dockerfile, in order; a line that ends with a backslash goes on. */
function steps(dockerfile: string): [instruction: string, rest: string][] {
  const lines = dockerfile.replaceAll("\\\n", " ").split("\n");
  return lines.flatMap((line) => {
    const [, instruction, rest] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    return instruction !== undefined && rest !== undefined ? [[instruction, rest]] : [];
  });
}
const words = (json: string): string[] => JSON.parse(json) as string[];

test("the Dockerfile: its steps in order, in a clean folder", { timeout: 120_000 }, async () => {
  const { web, mux } = await upstreams();
  const port = await deadPort();
  const packed = tempFolder();
  const env = cleanEnv({ XDG_RUNTIME_DIR: tempFolder() });
  const pack = ["pack", "--ignore-scripts", "--pack-destination", packed];
  expect((await run("npm", pack, { cwd: ROOT, env }, 60_000)).code).toBe(0);
  const tarball = join(packed, readdirSync(packed)[0] ?? "");
  const text = substitute(readmeBlock("dockerfile"), {
    "single-port@0.1.0": tarball,
    "dashboard:4000": String(web),
    "dashboard:14801": String(mux),
  });
  const root = tempFolder();
  let cwd = root;
  let health: string[] = [];
  let command: string[] = [];
  const seen: string[] = [];
  for (const [instruction, rest] of steps(text)) {
    seen.push(instruction);
    if (instruction === "WORKDIR") writeFileSync(join((cwd = tempFolder()), "package.json"), "{}");
    if (instruction === "HEALTHCHECK") health = words(rest.replace("CMD ", ""));
    if (instruction === "ENTRYPOINT" || instruction === "CMD") command.push(...words(rest));
    if (instruction === "RUN") {
      const flags = `${rest} --prefer-offline --no-audit --no-fund`;
      const ended = await run("sh", ["-c", flags], { cwd, env }, 90_000);
      expect(ended.code, ended.stderr).toBe(0);
    }
  }
  expect(seen).toEqual(["FROM", "WORKDIR", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"]);
  expect(cwd).not.toBe(root);

  // The port alone is this machine's; on all addresses it would be seen from outside of it.
  command = [...command, "--port", String(port), "--host", "127.0.0.1"];
  const child = spawn(command[0] ?? "", command.slice(1), { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (some: string) => (out += some));
  await until(() => out.includes(`listening on ${port}`), "the container to listen", 10_000);
  expect((await ask(port, "/")).body).toBe("the dashboard");
  const isHealthy = async (): Promise<number | string> =>
    (await run(health[0] ?? "", [...health.slice(1), "--port", String(port)], { cwd, env })).code;
  expect(await isHealthy()).toBe(0);
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await within(exited, "the container to stop")).toBe(0);
  expect(await isHealthy()).toBe(69);
});

interface Probe {
  httpGet: { path: string; port: string };
}
interface Container {
  name: string;
  args?: string[];
  ports: { name: string; containerPort: number }[];
  livenessProbe: Probe;
  readinessProbe: Probe;
  lifecycle: { preStop: { exec: { command: string[] } } };
}
interface Pod {
  kind: string;
  spec: { terminationGracePeriodSeconds: number; containers: Container[] };
}

test.skipIf(noYaml)(
  "the Kubernetes pod: its flags are ours, its probes are answered, and its times add up",
  async () => {
    const { web, mux } = await upstreams();
    const pod = parseYaml(readmeBlock("yaml", "kind: Pod"))[0] as Pod;
    const sidecar = pod.spec.containers.find(({ name }) => name === "single-port") as Container;
    const args = sidecar.args ?? [];
    const given = (flag: string): string => args[args.indexOf(flag) + 1] ?? "";
    for (const flag of args.filter((word) => word.startsWith("--"))) expect(optionTable()).toContain(`\`${flag} `);
    const portOf = (name: string): number => sidecar.ports.find((one) => one.name === name)?.containerPort ?? 0;
    expect(portOf("web"), "the default port").toBe(3000);
    expect(given("--admin")).toBe(`0.0.0.0:${portOf("admin")}`);
    const pause = Number(sidecar.lifecycle.preStop.exec.command[1]);
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(pause + Number.parseInt(given("--drain"), 10));

    const [port, admin] = [await deadPort(), await deadPort()];
    const here = substitute(JSON.stringify([...args, "--port", String(port)]), {
      '"4000"': `"${web}"`,
      "14801/mux": `${mux}/mux`,
      [given("--admin")]: `127.0.0.1:${admin}`,
    });
    const child = spawn(NODE, [BIN, ...(JSON.parse(here) as string[])], { env: cleanEnv(), stdio: "ignore" });
    onTestFinished(() => void child.kill("SIGKILL"));
    const probe = async ({ httpGet }: Probe): Promise<number> => {
      expect(httpGet.port).toBe("admin");
      return await ask(admin, httpGet.path).then(
        ({ status }) => status,
        () => 0,
      );
    };
    await until(async () => (await probe(sidecar.readinessProbe)) === 200, "readiness", 10_000);
    expect(await probe(sidecar.livenessProbe)).toBe(200);
  },
);
