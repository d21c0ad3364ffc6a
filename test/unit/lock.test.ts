import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { tryToLock, type Lock } from "../../src/life/lock.ts";
import { ourFolders } from "../../src/ops/control-place.ts";
import { tempFolder } from "../kit/child.ts";
import { atEnd } from "../kit/lifetime.ts";
import { within } from "../kit/until.ts";

/** A folder of this test's own for what only this user may make. */
function ownFolder(): void {
  const folder = tempFolder();
  vi.stubEnv("XDG_RUNTIME_DIR", folder);
  onTestFinished(() => void vi.unstubAllEnvs());
}

const left = (): string[] => readdirSync(ourFolders()[0] ?? "");
const unlock = (lock: Lock): void => (lock as () => void)();

test("one has it, the other waits, and nothing is left", async () => {
  ownFolder();
  const first = await tryToLock(3000);
  expect(await tryToLock(3000)).toBe("held");
  const other = await tryToLock(3001);
  expect(other).toBeInstanceOf(Function);
  unlock(other);
  unlock(first);
  const next = await tryToLock(3000);
  expect(next).toBeInstanceOf(Function);
  unlock(next);
  expect(left()).toEqual([]);
});

test("the lock of one that was killed is free, and goes to one only", async () => {
  ownFolder();
  unlock(await tryToLock(3000));
  const [folder = ""] = ourFolders();
  // A process that listens under the lock's name, as the holder does, and dies of it.
  const script = `require("net").createServer().listen(process.argv[1], () => console.log("there"))`;
  const lock = await tryToLock(3000);
  const name = left()[0] ?? "";
  unlock(lock);
  const child = spawn(process.execPath, ["-e", script, join(folder, name)], { stdio: ["ignore", "pipe", "ignore"] });
  atEnd(() => void child.kill("SIGKILL"));
  await within(new Promise((resolve) => child.stdout.once("data", resolve)), "the holder");
  expect(await tryToLock(3000)).toBe("held");
  child.kill("SIGKILL");
  await within(new Promise((resolve) => child.once("exit", resolve)), "its end");
  expect(left()).toEqual([name]);
  const both = await Promise.all([tryToLock(3000), tryToLock(3000)]);
  expect(both.filter((one) => one === "held")).toHaveLength(1);
  for (const one of both) if (one !== "held") unlock(one);
  expect(left()).toEqual([]);
});

test("what anybody can bind is no lock: an abstract socket of the old name", async () => {
  ownFolder();
  const squatter = createServer().listen(`\0single-port-${process.getuid?.()}-3000`);
  atEnd(() => void squatter.close());
  const lock = await tryToLock(3000);
  expect(lock).toBeInstanceOf(Function);
  unlock(lock);
});

test("where there can be no folder there is no lock", async () => {
  vi.stubEnv("XDG_RUNTIME_DIR", "/proc/1/none");
  vi.stubEnv("TMPDIR", "/proc/1/none");
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await tryToLock(3000)).toBe("none");
});
