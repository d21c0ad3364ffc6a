// Terminals that people have: wetty, shells of node-pty, and noVNC behind websockify; where the README has a recipe, by
// that.

import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { browserForFile, noChromium } from "../kit/browser.ts";
import { tempFolder } from "../kit/child.ts";
import { dial, upgrade } from "../kit/client.ts";
import { cleanEnv, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { launch } from "../kit/launch.ts";
import { nextResponse } from "../kit/messages.ts";
import { fromNpm, NODE_PTY } from "../kit/npm.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { startChild, startPeer, type Peer } from "../kit/peer.ts";
import { childCalled, endFamily, familyOf, killAll } from "../kit/processes.ts";
import { project } from "../kit/project.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { closed, openWs, rawSocket } from "../kit/tunnel.ts";
import { until, within } from "../kit/until.ts";
import { deadPort } from "../kit/upstream.ts";

const TEST_MS = 180_000;
const SOON_MS = 60_000;
const WEBSOCKIFY = "/usr/bin/websockify";
const NOVNC = "/usr/share/novnc";

const versions = { wetty: "3.2.0", ws: "8.23.0", ...NODE_PTY.versions };
const { folder, missing } = await fromNpm("terminals", versions, { ...NODE_PTY, omitOptional: true });

const MIB = 1024 * 1024;
const LINE = `${"paste ".repeat(10)}\n`;
const PASTE = LINE.repeat(Math.ceil(MIB / LINE.length));
const hashOf = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");

/** Runs a recipe of the README until the test ends; where the proxy's control socket is. */
async function runs(recipe: string, port: number, cwd: string, env: Record<string, string> = {}): Promise<string> {
  const runtime = ownRuntime();
  const script = launch("sh", ["-c", recipe], { cwd, env: cleanEnv({ ...runtime, ...env }) });
  endFamily(script.pid);
  const control = controlSocket(runtime, port);
  await until(
    () => existsSync(control),
    () => `single-port to listen; ${script.stdout()}${script.stderr()}`,
    SOON_MS,
  );
  return control;
}

describe.skipIf(missing)(missing === undefined ? "shells of node-pty" : `shells of node-pty (${missing})`, () => {
  /** A shell behind the proxy, and all that its terminal showed. */
  async function shell(): Promise<{ daemon: TestDaemon; mux: Peer; socket: WebSocket; shown: () => string }> {
    const script = join(folder, "pty.mjs");
    copyFileSync(fileURLToPath(new URL("../kit/peers/pty.mjs", import.meta.url)), script);
    const mux = startChild(process.execPath, [script]);
    const daemon = await startDaemon(["--http", "1", "--mux", `${await mux.printed("port")}/mux`]);
    const socket = await openWs(daemon, "/mux", {}, ["other", "tty"]);
    expect(socket.protocol, "the one of both that the mux speaks").toBe("tty");
    let shown = "";
    socket.on("message", (data: Buffer) => (shown += data.toString("latin1")));
    socket.send("stty -echo\n");
    socket.send("echo begin=$((1 + 1))\n");
    await until(() => shown.includes("begin=2\r\n"), "the shell to answer", SOON_MS);
    shown = "";
    return { daemon, mux, socket, shown: () => shown };
  }

  test("a million lines out, a paste of 1 MiB in, and a resize", { timeout: TEST_MS }, async () => {
    const { socket, shown } = await shell();
    socket.send("yes | head -n 1000000; echo end=$((2 + 1))\n");
    await until(() => shown().endsWith("end=3\r\n"), "the last line", SOON_MS);
    expect(hashOf(shown())).toBe(hashOf(`${"y\r\n".repeat(1_000_000)}end=3\r\n`));

    const file = join(tempFolder(), "paste");
    socket.send(`cat > ${file}; echo pasted=$((3 + 1))\n`);
    socket.send(`${PASTE}\u0004`);
    await until(() => shown().endsWith("pasted=4\r\n"), "the end of the paste", SOON_MS);
    expect(hashOf(readFileSync(file))).toBe(hashOf(PASTE));

    socket.send('{"cols":132,"rows":43}');
    socket.send("stty size\n");
    await until(() => shown().endsWith("43 132\r\n"), "the new size", SOON_MS);
  });

  test("a client that is reset while its terminal runs over ends its shell", { timeout: TEST_MS }, async () => {
    const { daemon, mux, socket, shown } = await shell();
    socket.send("yes\n");
    await until(() => shown().length > MIB, "much of it", SOON_MS);
    rawSocket(socket).resetAndDestroy();
    expect(await mux.printed("closed", SOON_MS)).toBe(1001);
    await daemon.logged(({ by, kind }) => by === "client" && kind === "tunnel", "the end of the tunnel", SOON_MS);
  });
});

const noWetty = missing ?? noChromium;
describe.skipIf(noWetty)(noWetty === undefined ? "wetty" : `wetty (${noWetty})`, () => {
  const browser = browserForFile();

  test("in Chromium, by the recipe", { timeout: TEST_MS }, async () => {
    const [port, web] = [await deadPort(), await deadPort()];
    const recipe = substitute(readmeBlock("sh", "wetty"), { "3000": `${port}`, "4000": `${web}` });
    const cwd = project();
    symlinkSync(join(folder, "node_modules/.bin/wetty"), join(cwd, "node_modules/.bin/wetty"));
    const control = await runs(recipe, port, cwd);
    await until(() => accepts(web), "wetty to listen", SOON_MS);
    const page = await browser.newPage();
    let shown = "";
    page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => (shown += payload.toString())));
    await page.goto(`http://127.0.0.1:${port}/`, { timeout: SOON_MS });
    const terminal = page.locator(".xterm-helper-textarea");
    await terminal.focus({ timeout: SOON_MS });
    await page.keyboard.type("echo sum=$((1000 + 234))\n");
    await until(() => shown.includes("sum=1234"), "the sum", SOON_MS);
    expect((await statusOf(control)).tunnels).toMatchObject([{ route: "mux", path: "/socket.io/" }]);

    await page.keyboard.type("stty size\n");
    const size = (): string | undefined => /(\d+ \d+)\\r\\n(?![^]*\d+ \d+\\r\\n)/.exec(shown)?.[1];
    const before = await until(size, "its size", SOON_MS);
    await page.setViewportSize({ width: 700, height: 500 });
    await until(
      async () => {
        await page.keyboard.type("stty size\n");
        return await until(() => size() !== before, "another", 2000).catch(() => false);
      },
      `another size than ${before}`,
      SOON_MS,
    );

    const file = join(tempFolder(), "paste");
    const paste = PASTE.slice(0, LINE.length * 1000);
    // While bash itself reads, the terminal keeps 4 KiB of what nobody reads, and drops the rest.
    await page.keyboard.type(`stty -echo; echo reads=$((1 + 1)); cat > ${file}; echo pasted=$((1 + 1))\n`);
    await until(() => shown.includes("reads=2"), "the shell to be ready for a paste", SOON_MS);
    await page.evaluate(`(() => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", ${JSON.stringify(paste)});
      const node = document.querySelector(".xterm-helper-textarea");
      node.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    })()`);
    await page.keyboard.press("Control+d");
    await until(() => shown.includes("pasted=2"), "the end of the paste", SOON_MS);
    expect(hashOf(readFileSync(file))).toBe(hashOf(paste));

    // A page of somebody else may not.
    const evil = await dial(port);
    evil.send(upgrade("/socket.io/?EIO=4&transport=websocket", "Origin: https://evil.example"));
    expect((await nextResponse(evil)).status).toBe(403);
  });
});

const noWebsockify = existsSync(WEBSOCKIFY) ? undefined : `there is no ${WEBSOCKIFY}`;

/** websockify before a screen, and the proxy before it, by the recipe. */
async function websockify(
  screen: number,
  pages: string,
  env: Record<string, string> = {},
): Promise<{ port: number; web: number; control: string; recipe: string }> {
  const [port, web] = [await deadPort(), await deadPort()];
  const recipe = substitute(readmeBlock("sh", "websockify"), {
    "3000": `${port}`,
    "4000": `${web}`,
    [NOVNC]: pages,
    "localhost:5900": `127.0.0.1:${screen}`,
  });
  const control = await runs(recipe, port, project(), env);
  await until(() => accepts(web), "websockify to listen", SOON_MS);
  return { port, web, control, recipe };
}

const title = "websockify, by the recipe, whose first process is killed";
const skipped = noWebsockify === undefined ? title : `${title} (skipped: ${noWebsockify})`;
test.skipIf(noWebsockify)(skipped, { timeout: TEST_MS }, async () => {
  const screen = createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => screen.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void screen.close());
  const page = tempFolder();
  writeFileSync(join(page, "vnc.html"), "noVNC");
  const env = { SINGLE_PORT_PROBE_INTERVAL: "500ms", SINGLE_PORT_HANDSHAKE_TIMEOUT: "2s" };
  const { port, web, control } = await websockify((screen.address() as AddressInfo).port, page, env);
  const daemon = { port } as TestDaemon;
  const session = await openWs(daemon, "/websockify", {}, ["binary"]);
  expect(session.protocol).toBe("binary");
  const echoed = async (text: string): Promise<void> => {
    const back = new Promise((resolve) => session.once("message", (data: Buffer) => resolve(data.toString())));
    session.send(Buffer.from(text));
    expect(await within(back, `${text} from the screen`, SOON_MS)).toBe(text);
  };
  await echoed("RFB 003.008\n");

  // The process of the session has inherited the port: the kernel goes on taking connections, and nobody accepts them.
  const { pid } = await statusOf(control);
  const first = childCalled(process.pid, `${WEBSOCKIFY} --web ${page}`) ?? 0;
  expect(first).toBeGreaterThan(0);
  process.kill(first, "SIGKILL");
  const link = async (name: string): Promise<string | undefined> =>
    (await statusOf(control)).links.find((one) => one.name === name)?.state;
  await until(async () => (await link("http")) === "reconnecting", "--http-probe to notice", SOON_MS);
  const late = await dial(port);
  late.send(upgrade("/websockify"));
  expect((await nextResponse(late, "GET", SOON_MS)).status).toBe(504);
  await echoed("still there");
  expect(await accepts(web)).toBe(true);
  session.close();
  await closed(session);
  expect((await statusOf(control)).pid).toBe(pid);
});

const noNovnc = existsSync(NOVNC) ? (noWebsockify ?? noChromium) : `there is no ${NOVNC}`;
describe.skipIf(noNovnc)(noNovnc === undefined ? "noVNC" : `noVNC (${noNovnc})`, () => {
  const browser = browserForFile();

  test("in Chromium, by the recipe, whose websockify is killed and started again", { timeout: TEST_MS }, async () => {
    const screen = startPeer("rfb.mjs");
    const { port, web, control, recipe } = await websockify(await screen.printed("port", SOON_MS), NOVNC);
    const page = await browser.newPage();
    const status = (): Promise<string | null> => page.locator("#noVNC_status").textContent({ timeout: SOON_MS });
    const says = (words: string): Promise<boolean> =>
      until(async () => (await status())?.includes(words), `noVNC to say ${words}`, SOON_MS);
    // The last pixel, and how large the screen is.
    const pixel = (): Promise<string> =>
      page.evaluate<string>(`(() => {
        const canvas = document.querySelector("#noVNC_container canvas");
        if (canvas === null || canvas.width === 0) return "";
        const { width, height } = canvas;
        return [width, height, ...canvas.getContext("2d").getImageData(width - 1, height - 1, 1, 1).data].join();
      })()`);
    const shows = (rgb: string): Promise<boolean> =>
      until(async () => (await pixel()) === `64,64,${rgb},255`, `the screen to be ${rgb}`, SOON_MS);

    await page.goto(`http://127.0.0.1:${port}/vnc.html?autoconnect=true`, { timeout: SOON_MS });
    await says("Connected (unencrypted) to screen");
    await shows("0,0,255");
    await page.keyboard.press("g");
    await shows("0,255,0");
    expect((await statusOf(control)).tunnels).toMatchObject([{ route: "mux", path: "/websockify" }]);

    const { pid } = await statusOf(control);
    const [command = ""] = recipe.split(" &\n");
    const first = childCalled(process.pid, `/usr/bin/${command}`) ?? 0;
    expect(first).toBeGreaterThan(0);
    // Stopped, so that it starts no further process meanwhile.
    process.kill(first, "SIGSTOP");
    killAll([...familyOf(first), first]);
    await says("Disconnected");
    await until(async () => !(await accepts(web)), "the port to be free", SOON_MS);

    endFamily(launch("sh", ["-c", command]).pid);
    const up = async (): Promise<boolean> => (await statusOf(control)).links.every(({ state }) => state === "up");
    await until(
      async () => (await accepts(web)) && (await up()),
      "websockify to listen again, and the proxy to see it",
      SOON_MS,
    );
    await page.reload({ timeout: SOON_MS });
    await shows("0,255,0");
    await page.keyboard.press("r");
    await shows("255,0,0");
    expect(screen.stdout().match(/down .*/g), "each key once").toEqual(["down 103", "down 114"]);
    expect((await statusOf(control)).pid).toBe(pid);
  });
});
