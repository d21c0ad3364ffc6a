// EventSources of Chromium and of npm, behind Caddy: over an outage of 30 s, and over an upstream that is frozen (504).

import { EventSource as NpmEventSource } from "eventsource";
import { describe, expect, onTestFinished, test } from "vitest";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { childServer } from "../kit/child.ts";
import { startDaemon } from "../kit/daemon.ts";
import { caddyfile, FRONTS, noFront } from "../kit/fronts.ts";
import { until } from "../kit/until.ts";
import { deadPort } from "../kit/upstream.ts";

const OUTAGE_MS = 30_000;

/** What a page and a program hear: how many events, and whether they have given up. */
interface Listener {
  events(): Promise<number>;
  closed(): Promise<boolean>;
}

describe.skipIf(noChromium ?? noFront("Caddy"))(IN_CHROMIUM, { timeout: 120_000 }, () => {
  const browser = browserForFile();

  function ofNpm(url: string): Listener {
    const source = new NpmEventSource(url);
    onTestFinished(() => source.close());
    let events = 0;
    source.addEventListener("message", () => (events += 1));
    return {
      events: () => Promise.resolve(events),
      closed: () => Promise.resolve(source.readyState === NpmEventSource.CLOSED),
    };
  }

  test("they come back by themselves", async () => {
    const web = await childServer();
    const daemon = await startDaemon(["--http", String(web.port), "--response-timeout", "5s"]);
    const port = await deadPort();
    const site = `${caddyfile(daemon.port)}\nhttp://127.0.0.1:${port} {\n\treverse_proxy 127.0.0.1:${daemon.port}\n}\n`;
    await FRONTS.Caddy(daemon.port, { caddyfile: site });
    const origin = `http://127.0.0.1:${port}`;
    const page = await browser.newPage();
    await page.goto(origin);
    const inPage = async (): Promise<Listener> => {
      const at = await page.evaluate<number>(`{
        const source = new EventSource("/events");
        const one = { source, events: 0 };
        source.onmessage = () => (one.events += 1);
        (window.all ??= []).push(one) - 1;
      }`);
      return {
        events: () => page.evaluate<number>(`all[${at}].events`),
        closed: () => page.evaluate<boolean>(`all[${at}].source.readyState === EventSource.CLOSED`),
      };
    };
    const hear = async (listeners: Listener[], count: number): Promise<void> => {
      for (const one of listeners) await until(async () => (await one.events()) === count, `event ${count}`, 20_000);
    };
    const listeners = [await inPage(), ofNpm(`${origin}/events`)];
    await hear(listeners, 1);
    await web.kill();
    const killed = performance.now();
    await until(() => performance.now() > killed + OUTAGE_MS, "the outage to be over", OUTAGE_MS + 5000);
    const told = daemon.log.filter(({ error }) => error === "upstream_unavailable");
    expect(told.length, "refused, and not only held").toBeGreaterThan(1);
    await web.start();
    await hear(listeners, 2);

    web.signal("SIGSTOP");
    const late = [await inPage(), ofNpm(`${origin}/events`)];
    await daemon.logged(({ status }) => status === 504, "a 504", 20_000);
    web.signal("SIGCONT");
    await hear(late, 1);
    for (const one of [...listeners, ...late]) expect(await one.closed()).toBe(false);
  });
});
