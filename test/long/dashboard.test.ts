// A real dashboard in a real browser: Next.js, @xterm/xterm and shells behind single-port (test/kit/dashboard). While
// it is looked at its servers are killed and the browser's connections reset; nobody touches the page.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import type { Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { browserForFile, IN_CHROMIUM, noChromium, type Browser } from "../kit/browser.ts";
import { faultsIn, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { dashboard, type Dashboard } from "../kit/dashboard.ts";
import { relayTo, type Relay } from "../kit/relay.ts";
import { until } from "../kit/until.ts";

/** Next takes its time, most of all on a machine that has other things to do. */
const MODE_MS = 400_000;
const SOON_MS = 20_000;
const COMPILED_MS = 60_000;
const MIB = 200;

interface Scene extends Dashboard {
  daemon: TestDaemon;
  /** Stands for the network between the browser and the proxy. */
  network: Relay;
  page: Page;
  /** Errors of the page's scripts. */
  errors: string[];
}

async function open(browser: Browser, mode: "production" | "development"): Promise<Scene> {
  const prepared = await dashboard(mode);
  const { web, mux } = prepared;
  await Promise.all([web.start(), mux.start()]);
  const args = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--hold", "60s", "--admin", "127.0.0.1:0"];
  const daemon = await startDaemon(args);
  const network = await relayTo(daemon.port);
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`http://127.0.0.1:${network.port}/`, { timeout: COMPILED_MS });
  return { ...prepared, daemon, network, page, errors };
}

/** The last of what the page says of its terminal. */
const state = async (page: Page): Promise<string> => (await textOf(page, "#states")).split(", ").at(-1) ?? "";
const textOf = async (page: Page, where: string): Promise<string> =>
  (await page.textContent(where).catch(() => "")) ?? "";

/** What stands on the terminal's screen. */
async function screen(page: Page): Promise<string> {
  return await page.evaluate<string>(`(() => {
    const { active } = window.terminal.buffer;
    return Array.from({ length: active.length }, (_, n) => active.getLine(n).translateToString(true)).join("\\n");
  })()`);
}

let commands = 0;
/** Types a command that prints `$((x))`, and waits for the sum: an echo of what was typed is not enough. */
async function types(page: Page, before = ""): Promise<string> {
  const [a, b] = [1000 + (commands += 1), 7000];
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type(`${before}echo sum=$((${a} + ${b}))\n`);
  const sum = `sum=${a + b}`;
  await until(async () => (await screen(page)).includes(sum), `${sum} on the terminal`, SOON_MS);
  return await screen(page);
}

/** Everything is there: events come, and commands run. */
async function isLive({ page }: Scene, ms = SOON_MS): Promise<void> {
  await until(async () => (await state(page)) === "open", "the terminal to be open", ms);
  const before = await textOf(page, "#tick");
  await until(async () => !["", before].includes(await textOf(page, "#tick")), "events", ms);
  await types(page);
}

const born = (page: Page): Promise<number> => page.evaluate(() => performance.timeOrigin);
const server = async (page: Page): Promise<string> => (await textOf(page, "#tick")).split(" ")[0] ?? "";

/**
 * Kills a server, and starts it when the page has asked for it in vain already and is held: EventSource gives up for
 * ever at anything but a 200.
 */
async function restart({ daemon }: Scene, one: Dashboard["web"]): Promise<void> {
  await one.kill();
  const held = async (): Promise<boolean> => (JSON.parse(await askAdmin(daemon, "/status")) as Report).held > 0;
  await until(held, "the page to ask again, and to be held", SOON_MS);
  await one.start();
}

/** Sends a file to a server action; resolves with the wait for what that says. */
async function sends(page: Page, bytes: Buffer): Promise<() => Promise<void>> {
  await page.setInputFiles("#file", { name: "some.bin", mimeType: "application/octet-stream", buffer: bytes });
  await page.click("#send");
  const said = `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;
  return async () => void (await until(async () => (await textOf(page, "#said")) === said, "what came", COMPILED_MS));
}

/** Most memory the process ever had, in MiB (proc(5)). */
function peakMib(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

function expectUnharmed({ daemon, errors }: Scene): void {
  expect(daemon.child.exitCode ?? daemon.child.signalCode).toBeNull();
  expect(faultsIn(daemon.log)).toEqual([]);
  expect(daemon.stderr()).toBe("");
  expect(errors).toEqual([]);
}

describe.skipIf(noChromium)(IN_CHROMIUM, () => {
  const browser = browserForFile();

  test("in production", { timeout: MODE_MS }, async () => {
    const scene = await open(browser, "production");
    const { page, daemon, network, web, mux } = scene;
    await isLive(scene);
    const loaded = await born(page);

    // Up and down, through a proxy that keeps nothing of it.
    const whole = createHash("sha256");
    for (let n = 0; n < MIB; n += 1) whole.update(Buffer.alloc(1024 * 1024, n % 256));
    const hash = whole.digest("hex");
    const before = peakMib(daemon.pid);
    expect(await page.evaluate(upload, MIB)).toEqual({ size: MIB * 1024 * 1024, hash });
    expect(await page.evaluate(download, MIB)).toEqual({ size: MIB * 1024 * 1024, hash });
    expect(peakMib(daemon.pid) - before).toBeLessThan(100);

    // A file for a server action, and another one while its server is away.
    const form = await browser.newPage();
    await form.goto(`http://127.0.0.1:${network.port}/send`, { timeout: COMPILED_MS });
    await (
      await sends(form, randomBytes(8 * 1024 * 1024))
    )();
    await web.kill();
    const arrives = await sends(form, randomBytes(8 * 1024 * 1024));
    const isHeld = async (): Promise<boolean> =>
      (JSON.parse(await askAdmin(daemon, "/status")) as Report).inFlight.some(
        (one) => one.held && one.method === "POST",
      );
    await until(isHeld, "the file to be held", SOON_MS);
    await web.start();
    await arrives();
    await isLive(scene);

    // The web server goes: the shell does not notice.
    await types(page, "kept=here; ");
    const first = await server(page);
    await restart(scene, web);
    await until(async () => ![first, ""].includes(await server(page)), "events of the new server", COMPILED_MS);
    expect(await types(page, "echo $kept; ")).toMatch(/^here$/m);

    // The mux goes: the terminal is told, and comes back; the events do not notice.
    const second = await server(page);
    await restart(scene, mux);
    await until(async () => (await textOf(page, "#states")).includes("closed 1012"), "the Close", SOON_MS);
    await isLive(scene);
    expect(await server(page)).toBe(second);

    // The network goes.
    const states = await textOf(page, "#states");
    expect(network.reset()).toBeGreaterThan(1);
    await until(async () => (await textOf(page, "#states")) !== states, "the terminal to notice", SOON_MS);
    await isLive(scene);

    expect(await born(page), "it was never loaded anew").toBe(loaded);
    expectUnharmed(scene);
  });

  test("in development", { timeout: MODE_MS }, async () => {
    const scene = await open(browser, "development");
    const { page, network, web, mux, edit } = scene;
    await isLive(scene, COMPILED_MS);
    let word = "first";
    /** An edit shows on the page by itself. */
    const edits = async (to: string): Promise<void> => {
      edit("app/heading.jsx", `>${word}<`, `>${to}<`);
      word = to;
      await until(async () => (await textOf(page, "#word")) === to, `"${to}" on the page`, COMPILED_MS);
    };
    await page.click("#count");
    await edits("second");
    expect(await textOf(page, "#count"), "the state of the page outlives an edit").toBe("1");

    await restart(scene, mux);
    await until(async () => (await textOf(page, "#states")).includes("closed 1012"), "the Close", SOON_MS);
    await isLive(scene);
    await edits("third");

    expect(network.reset()).toBeGreaterThan(1);
    await isLive(scene);
    await edits("fourth");

    const first = await server(page);
    await restart(scene, web);
    await until(async () => ![first, ""].includes(await server(page)), "events of the new server", COMPILED_MS);
    await isLive(scene, COMPILED_MS);
    await edits("fifth");
    expectUnharmed(scene);
  });
});

/** In the page: sends so many MiB; says what the server got. */
async function upload(mib: number): Promise<unknown> {
  const parts = Array.from({ length: mib }, (_, n) => new Uint8Array(1024 * 1024).fill(n % 256));
  const answer = await fetch("/upload", { method: "POST", body: new Blob(parts) });
  return await answer.json();
}

/** In the page: gets so many MiB; says what came. */
async function download(mib: number): Promise<unknown> {
  const answer = await fetch(`/download?mib=${mib}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { size: bytes.length, hash: Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}
