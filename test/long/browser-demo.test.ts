// The demo's page in a real browser: each button breaks one stream, the others go on, and the broken one recovers.

import type { Page } from "playwright-core";
import { describe, expect, test, vi } from "vitest";
import { expectAccessible } from "../kit/axe.ts";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { startDemo } from "../kit/demo.ts";
import { until } from "../kit/until.ts";

// Restarts take their 1.5 s, and the waits have their own limits.
vi.setConfig({ testTimeout: 60_000 });

const STREAMS = ["clock", "terminal", "download"] as const;
type Stream = (typeof STREAMS)[number];

/** Is every stream of the page live? */
async function allLive(page: Page): Promise<boolean> {
  return (await page.locator(".card[data-state=live]").count()) === STREAMS.length;
}

/** How often a stream recovered, as the page says it. */
async function recoveries(page: Page, stream: Stream): Promise<number> {
  const words = (await page.textContent(`#${stream} .again`)) ?? "";
  return words === "recovered once" ? 1 : Number(/\d+/.exec(words)?.[0] ?? 0);
}

/** What moves in each stream while it goes on. */
async function progress(page: Page): Promise<Record<Stream, string>> {
  const texts = await Promise.all(["#time", "#trips", "#bytes"].map((where) => page.textContent(where)));
  return { clock: texts[0] ?? "", terminal: texts[1] ?? "", download: texts[2] ?? "" };
}

describe.skipIf(noChromium)(IN_CHROMIUM, () => {
  const browser = browserForFile();

  /** A demo of its own, and its page with everything live. */
  async function open(): Promise<{ page: Page; errors: Error[] }> {
    const demo = await startDemo();
    const page = await browser.newPage();
    const errors: Error[] = [];
    page.on("pageerror", (error) => errors.push(error));
    await page.goto(`http://127.0.0.1:${demo.port}/`);
    await until(() => allLive(page), "all streams live", 8000);
    return { page, errors };
  }

  test("a button that nobody answers says so", async () => {
    const { page, errors } = await open();
    await page.route("**/hurt/**", (route) => route.fulfill({ status: 503 }));
    await page.getByRole("button", { name: "Kill the mux" }).press("Enter");
    await until(async () => (await page.textContent("#log"))?.includes("The button had no effect"), "the line");
    expect(errors).toEqual([]);
  });

  test("what is typed comes back from the mux", async () => {
    const { page, errors } = await open();
    await page.getByLabel("Type here").fill("hello");
    await until(async () => (await page.textContent("#echo")) === "hello", "echo");
    expect(errors).toEqual([]);
  });

  test.each<[string, Stream[]]>([
    ["Reset my WebSocket", ["terminal"]],
    ["Reset the download", ["download"]],
    ["Kill the mux", ["terminal"]],
    ["Kill the web server", ["clock", "download"]],
  ])("%s: that part comes back, the rest is not interrupted", async (button, hurt) => {
    const { page, errors } = await open();
    await page.getByRole("button", { name: button }).press("Enter");
    await until(async () => (await recoveries(page, hurt[0] ?? "clock")) === 1, `${hurt[0]} to come back`, 8000);
    await until(() => allLive(page), "all streams live again", 8000);
    for (const stream of STREAMS) {
      expect(await recoveries(page, stream), stream).toBe(hurt.includes(stream) ? 1 : 0);
    }
    const before = await progress(page);
    const moves = async (): Promise<boolean> => {
      const now = await progress(page);
      return STREAMS.every((stream) => now[stream] !== before[stream]);
    };
    await until(moves, "every stream to go on", 5000);
    expect(await page.textContent("#log")).toContain(`Not interrupted: `);
    expect(errors).toEqual([]);
  });

  test("a killed part is grey until it is back; a request that it was asked meanwhile was held, and is answered", async () => {
    const { page, errors } = await open();
    const before = await page.textContent("#web-pid");
    await page.getByRole("button", { name: "Kill the web server" }).press("Enter");
    await page.waitForSelector("#web-part.gone");
    expect(await page.textContent("#web-pid")).toBe("killed");
    await page.waitForSelector("#web-part:not(.gone)");
    await page.getByText(/A request sent after the kill was held for \d\.\d s, and the new web server/).waitFor();
    const now = await page.textContent("#web-pid");
    expect(now).not.toBe(before);
    expect(await page.textContent("#log")).toContain(`(${now}) answered it.`);
    expect(errors).toEqual([]);
  });

  test("a close code is explained", async () => {
    const { page } = await open();
    await page.getByRole("button", { name: "Kill the mux" }).press("Enter");
    await page.getByText(/Terminal was closed with code 1012 \(service restart: /).waitFor();
  });

  test.each(["light", "dark"] as const)(
    "axe-core finds nothing, %s, on a phone and a desktop, while a part is dead too",
    async (colorScheme) => {
      const { page } = await open();
      await page.emulateMedia({ colorScheme });
      for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 844 });
        await expectAccessible(page, `${colorScheme}, ${width} wide`);
      }
      await page.getByRole("button", { name: "Kill the mux" }).press("Enter");
      await page.waitForSelector("#mux-part.gone");
      await expectAccessible(page, `${colorScheme}, the mux killed`);
    },
  );

  test("typing while the mux is away is not lost", async () => {
    const { page } = await open();
    await page.getByRole("button", { name: "Kill the mux" }).press("Enter");
    await page.waitForSelector("#terminal[data-state=lost]");
    await page.getByLabel("Type here").fill("meanwhile");
    await until(async () => (await page.textContent("#echo")) === "meanwhile", "echo after the restart", 8000);
  });

  test.each([
    ["phone", 390, 844],
    ["desktop", 1280, 800],
  ])("on a %s nothing is cut off, and every button has a name and is in view", async (_, width, height) => {
    const { page } = await open();
    await page.setViewportSize({ width, height });
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    const buttons = await page.getByRole("button").all();
    expect(buttons).toHaveLength(4);
    for (const button of buttons) {
      const box = await button.boundingBox();
      expect((box?.y ?? height) + (box?.height ?? 0)).toBeLessThanOrEqual(height);
      expect(box?.height).toBeGreaterThanOrEqual(44);
      expect((await button.innerText()).trim()).not.toBe("");
    }
    const log = await page.locator("#log").boundingBox();
    expect((log?.y ?? height) + Math.min(log?.height ?? 0, 70), "what happened is in view").toBeLessThanOrEqual(height);
  });
});
