// Where the fault table is played: a daemon with short limits, raw upstreams, and bystanders that run beside all cells.

import { WebSocket } from "ws";
import { downloadBystander, tunnelBystander, type Bystander } from "./bystanders.ts";
import { dial } from "./client.ts";
import { startDaemon, type TestDaemon } from "./daemon.ts";
import type { Side } from "./faults.ts";
import type { Front, StartFront } from "./fronts.ts";
import { network, type Cable } from "./network.ts";
import { deadPort, muxUpstream, rawUpstream, type RawUpstream } from "./upstream.ts";

/** All that a cell needs. */
export interface Stage {
  daemon: TestDaemon;
  /** Where clients dial. */
  host: string;
  web: RawUpstream;
  mux: RawUpstream;
  bystanders: Bystander[];
  /** What the daemon has open while nothing but the bystanders runs; behind a front, before it has one. */
  baseline: number;
  /** The cable of the side that is going to vanish. */
  cable: Cable | undefined;
  /** A silence is noticed within this, except where only TCP keepalive can tell. */
  silenceMs: number;
}

/** An option and its value. */
type Given = Record<string, string>;
const wordsOf = (given: Given): string[] => Object.entries(given).flatMap(([name, value]) => [`--${name}`, value]);

// Short enough to be waited for, and long enough that neither a cell nor the bystanders meet one on a busy machine.
const SILENCE_MS = 15_000;
const SHORT: Given = {
  "headers-timeout": "1s",
  "body-timeout": "1500ms",
  "response-timeout": "1500ms",
  "handshake-timeout": "1500ms",
  "client-keep-alive": "1s",
  recycle: "800ms",
  "stall-timeout": "1s",
  "ping-interval": "300ms",
  "ping-timeout": "1400ms",
};
// All moments are reached before their side vanishes, so no limit may strike until then.
const ALL_AT_ONCE_MS = 15_000;
const ALL_AT_ONCE: Given = {
  ...Object.fromEntries(Object.keys(SHORT).map((name) => [name, "3s"])),
  "ping-interval": "1s",
  "ping-timeout": "2s",
  "tcp-keep-alive": "1s",
};
// Nothing but TCP keepalive may tell that a client vanished while it waits for its answer.
const PATIENT: Given = { hold: "60s", "response-timeout": "60s", "handshake-timeout": "60s" };

/** Opens a stage on loopback. */
export async function openStage(): Promise<Stage> {
  const [web, mux, calm] = [await rawUpstream(), await rawUpstream(), await muxUpstream()];
  const targets = wordsOf({ http: String(web.port), mux: `${mux.port}/mux` });
  const muxes = ["--mux", `/bystander=${calm.port}/mux`, "--mux", `/away=${await deadPort()}`];
  const daemon = await startDaemon([...targets, ...muxes, ...wordsOf(SHORT)]);
  const bystanders = [
    await tunnelBystander(() => new WebSocket(`ws://127.0.0.1:${daemon.port}/bystander`)),
    await downloadBystander(
      () => dial(daemon.port),
      () => web.next(),
    ),
  ];
  return {
    daemon,
    host: "127.0.0.1",
    web,
    mux,
    bystanders,
    baseline: await daemon.settledSockets(),
    cable: undefined,
    silenceMs: SILENCE_MS,
  };
}

/** Opens a stage on loopback behind a front, through which the bystanders go, too. */
export async function openFrontStage(start: StartFront): Promise<{ stage: Stage; front: Front }> {
  const [web, mux, calm] = [await rawUpstream(), await rawUpstream(), await muxUpstream()];
  const targets = wordsOf({ http: String(web.port), mux: `${mux.port}/mux` });
  const muxes = ["--mux", `/bystander=${calm.port}/mux`];
  // A client of ours is the front here, and its idle connections live long.
  const limits = wordsOf({ ...ALL_AT_ONCE, "client-keep-alive": "125s", admin: "127.0.0.1:0" });
  const daemon = await startDaemon([...targets, ...muxes, ...limits]);
  const baseline = await daemon.settledSockets();
  const front = await start(daemon.port);
  const bystanders = [
    await tunnelBystander(() => front.open("/bystander")),
    await downloadBystander(
      () => front.dial(),
      () => web.next(),
      front.host,
    ),
  ];
  const stage: Stage = {
    daemon,
    host: "127.0.0.1",
    web,
    mux,
    bystanders,
    baseline,
    cable: undefined,
    silenceMs: ALL_AT_ONCE_MS,
  };
  return { stage, front };
}

/**
 * Opens a stage whose clients or upstreams can vanish, the bystanders on cables of their own. When the upstreams vanish
 * there is no bystander download: the one web server is among them.
 */
export async function openVanishingStage(side: Side): Promise<Stage> {
  const net = await network();
  const [clients, upstreams, calm] = [net.cable(), net.cable(), net.cable()];
  const web = await rawUpstream(undefined, 0, upstreams.here);
  const mux = await rawUpstream(undefined, 0, upstreams.here);
  const echo = await muxUpstream({ host: calm.here });
  const targets = wordsOf({ http: `${upstreams.here}:${web.port}`, mux: `${upstreams.here}:${mux.port}/mux` });
  const limits = { ...ALL_AT_ONCE, ...(side === "client" ? PATIENT : {}) };
  const muxes = [
    "--mux",
    `/bystander=${calm.here}:${echo.port}/mux`,
    "--mux",
    `/away=${calm.here}:${await deadPort()}`,
  ];
  // Scenes are told apart by their CF-Ray, which has to come from a trusted peer.
  const daemon = await startDaemon(
    ["--host", "0.0.0.0", "--trust-proxy", "198.18.0.0/15", ...targets, ...muxes, ...wordsOf(limits)],
    {},
    net.prefix,
  );
  const bystanders = [await tunnelBystander(() => new WebSocket(`ws://${calm.there}:${daemon.port}/bystander`))];
  if (side === "client")
    bystanders.push(
      await downloadBystander(
        () => dial(daemon.port, calm.there),
        () => web.next(),
      ),
    );
  const cable = side === "client" ? clients : upstreams;
  return {
    daemon,
    host: clients.there,
    web,
    mux,
    bystanders,
    baseline: await daemon.settledSockets(),
    cable,
    silenceMs: ALL_AT_ONCE_MS,
  };
}
