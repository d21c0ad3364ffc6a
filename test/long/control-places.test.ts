// Where the control socket is when its usual place is another's, or another network's.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test, vi } from "vitest";
import { run, singlePort } from "../kit/command.ts";
import { BIN, cleanEnv, NODE, startDaemon } from "../kit/daemon.ts";
import { network, noNetwork } from "../kit/network.ts";
import { controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const isRoot = process.getuid?.() === 0;

const takers: [string, (folder: string) => void][] = [
  ["a link to elsewhere", (folder) => symlinkSync(dirname(folder), folder)],
  ["a file", (folder) => writeFileSync(folder, "")],
  // Root may list it all the same, and others' folders are what matters.
  ["a folder of somebody else", (folder) => execFileSync("install", ["-d", "-m", "777", "-o", "65534", folder])],
];

test.skipIf(!isRoot).each(takers)(
  "%s in the place of its folder: another one is made, and found again",
  async (_, take) => {
    const env = ownRuntime();
    const folder = dirname(controlSocket(env, 0));
    take(folder);
    const before = readdirSync(env.XDG_RUNTIME_DIR).length;
    const first = await startDaemon(["--http", "1"], env);
    const args = ["--http", "1", "--port", String(first.port), "--takeover"];
    const pid = async (): Promise<unknown> => {
      const { code, stdout } = await singlePort(["status", "--json"], env);
      return code === 0 && (JSON.parse(stdout) as { pid: number }).pid;
    };
    await until(async () => (await pid()) === first.pid, "status to find it");
    const next = await startDaemon(args, env);
    expect(await within(first.exited, "the first to end")).toBe(0);
    await until(async () => (await pid()) === next.pid, "status to find the next");
    // One folder, for both, which nobody else can enter.
    const names = readdirSync(env.XDG_RUNTIME_DIR).filter((name) => name.startsWith("single-port-"));
    expect(names).toHaveLength(2);
    expect(readdirSync(env.XDG_RUNTIME_DIR)).toHaveLength(before + 1);
    const made = names.find((name) => !folder.endsWith(name)) ?? "";
    expect(statSync(`${env.XDG_RUNTIME_DIR}/${made}`).mode & 0o777).toBe(0o700);
    expect(existsSync(controlSocket(env, first.port))).toBe(false);
  },
);

test("nothing can be made there: the line says what stands in the way, and it serves", async () => {
  const env = ownRuntime();
  const file = `${env.XDG_RUNTIME_DIR}/file`;
  writeFileSync(file, "");
  const daemon = await startDaemon(["--http", "1"], { XDG_RUNTIME_DIR: file, TMPDIR: file });
  const line = await daemon.logged(({ msg }) => msg.startsWith("no control socket"), "no control socket");
  expect((line["err"] as { message: string }).message).toContain(file);
});

const unable = noNetwork();

test.skipIf(unable)(
  `two networks that share the folder, one port: each has its own (${unable ?? "as root"})`,
  async () => {
    const env = ownRuntime();
    const { prefix } = await network();
    execFileSync(prefix[0] ?? "", [...prefix.slice(1), "ip", "link", "set", "lo", "up"]);
    const here = await startDaemon(["--http", "1"], env);
    await until(() => existsSync(controlSocket(env, here.port)), "its control socket");
    const port = ["--port", String(here.port)];
    const there = await startDaemon(["--http", "1", ...port], env, prefix);
    const pidIn = async (inside: string[]): Promise<unknown> => {
      const words = [...inside, NODE, BIN, "status", "--json", ...port];
      const { code, stdout } = await run(words[0] ?? "", words.slice(1), { env: cleanEnv(env) });
      return code === 0 ? (JSON.parse(stdout) as { pid: number }).pid : code;
    };
    await until(async () => (await pidIn(prefix)) === there.pid, "status there");
    expect(await pidIn([])).toBe(here.pid);
    const next = await startDaemon(["--http", "1", "--takeover", ...port], env, prefix);
    expect(await within(there.exited, "the older one there to end")).toBe(0);
    await until(async () => (await pidIn(prefix)) === next.pid, "status of the next");
    await next.stop();
    expect(await pidIn(prefix)).toBe(69);
    expect((await statusOf(controlSocket(env, here.port))).state).toBe("running");
    await here.stop();
    expect(readdirSync(dirname(controlSocket(env, here.port)))).toEqual([]);
  },
);
