import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { DownHook, type HookLimits, type HookResult } from "../../src/upstream/hook.ts";
import { until } from "../kit/until.ts";

const NEVER: HookLimits = { everyMs: 3_600_000, killAfterMs: 3_600_000 };

/** @param limits what is not said never happens. */
function hook(command: string, limits: Partial<HookLimits> | "its own" = {}) {
  const results: HookResult[] = [];
  const starts: number[] = [];
  const events = { started: () => starts.push(performance.now()), ended: (result: HookResult) => results.push(result) };
  const given = limits === "its own" ? undefined : { ...NEVER, ...limits };
  const down = new DownHook(command, { name: "http", label: "127.0.0.1:4000" }, events, given);
  onTestFinished(() => down.cancel());
  return { hook: down, starts, results, ended: (n = 1) => until(() => results[n - 1], `run ${n} to end`, 8000) };
}

test("the command knows which upstream was lost, and its output is kept", async () => {
  const { hook: down, ended } = hook('echo "$SINGLE_PORT_UPSTREAM at $SINGLE_PORT_TARGET"; echo oops >&2; exit 3');
  down.down();
  const result = await ended();
  expect(result).toMatchObject({ code: 3, signal: undefined, error: undefined });
  expect(result.output).toContain("http at 127.0.0.1:4000");
});

test("what speaks for our unit to systemd is not passed on", async () => {
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) vi.stubEnv(name, "ours");
  vi.stubEnv("SOMETHING", "else");
  onTestFinished(() => void vi.unstubAllEnvs());
  const { hook: down, ended } = hook('echo "[$NOTIFY_SOCKET$WATCHDOG_USEC$WATCHDOG_PID] [$SOMETHING]"');
  down.down();
  expect((await ended()).output).toBe("[] [else]");
});

test("a second loss within the break is not forgotten: its run is put off", async () => {
  const { hook: down, starts, ended } = hookAsItIs("true");
  down.down();
  await ended();
  down.down();
  down.down();
  vi.advanceTimersByTime(29_999);
  expect(starts).toHaveLength(1);
  vi.advanceTimersByTime(1);
  await ended(2);
  expect(starts).toHaveLength(2);
});

test("a loss while the command runs still gets its own run after it", async () => {
  const { hook: down, starts, ended } = hook("sleep 0.2", { everyMs: 0 });
  down.down();
  down.down();
  expect(starts).toHaveLength(1);
  await ended(2);
  expect(starts).toHaveLength(2);
});

test("a run that was put off is dropped when the upstream is back", async () => {
  const { hook: down, starts, ended } = hookAsItIs("true");
  down.down();
  await ended();
  down.down();
  expect(vi.getTimerCount(), "the run that is put off").toBe(1);
  down.cancel();
  vi.advanceTimersByTime(60_000);
  expect(starts).toHaveLength(1);
});

test("a command that hangs is killed, with what it started", async () => {
  const folder = mkdtempSync(join(tmpdir(), "single-port-hook-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { hook: down, ended } = hook(`sleep 600 & echo $! > ${folder}/pid; wait`, { killAfterMs: 300 });
  down.down();
  expect(await ended()).toMatchObject({ code: undefined, signal: "SIGKILL" });
  const pid = Number(readFileSync(`${folder}/pid`, "utf8"));
  await until(() => isGone(pid), "the background child to be gone");
});

/** A hook with the limits it has of itself, whose clock is moved by the test; its command is a real process. */
function hookAsItIs(command: string): ReturnType<typeof hook> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
  return hook(command, "its own");
}

test("without other limits it runs not more than once in 30 s", async () => {
  const { hook: down, starts, ended } = hookAsItIs("true");
  down.down();
  await ended();
  down.down();
  vi.advanceTimersByTime(29_900);
  expect(starts).toHaveLength(1);
  vi.advanceTimersByTime(200);
  expect(starts).toHaveLength(2);
});

test("without other limits it is killed after 60 s", async () => {
  const { hook: down, ended } = hookAsItIs("exec sleep 600");
  down.down();
  vi.advanceTimersByTime(59_900);
  expect(vi.getTimerCount(), "the time it has").toBe(1);
  vi.advanceTimersByTime(100);
  expect(await ended()).toMatchObject({ signal: "SIGKILL", ms: 60_000 });
});

test("a flood of output is neither kept nor read at full speed", async () => {
  const { hook: down, ended } = hook("exec yes", { killAfterMs: 700 });
  const before = process.cpuUsage();
  down.down();
  const { output, signal } = await ended();
  const { user, system } = process.cpuUsage(before);
  expect([output.length <= 4096, output.startsWith("y\ny\n"), signal]).toEqual([true, true, "SIGKILL"]);
  expect((user + system) / 1000, "CPU time in ms").toBeLessThan(450);
});

test("a command that cannot be started is a result, not an exception", async () => {
  // Longer than what the system takes for one argument: spawn throws E2BIG.
  const { hook: down, ended } = hook(`true ${"x".repeat(3_000_000)}`);
  down.down();
  expect((await ended()).error).toContain("E2BIG");
});

function isGone(pid: number): boolean {
  try {
    // A zombie that nobody reaps (no init in a container) is gone, too.
    return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}
