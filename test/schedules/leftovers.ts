// Looks for objects of ended exchanges, and for open handles, when all schedules of a worker are over.

import { Stream } from "node:stream";
import { pathToFileURL } from "node:url";
import * as v8 from "node:v8";
import { collect } from "./memory.ts";

/** What node's types leave out: how many objects of a class live (Node 20.13 and later). */
const { queryObjects } = v8 as { queryObjects?: (of: object, options: { format: "count" }) => number };

/** So many of a kind may be on their way out, or the last that a cache has seen. */
const SLACK = 40;

type Class = abstract new (...args: never[]) => object;

/** Classes of the built proxy whose objects last as long as an exchange or a tunnel, and hold all else of it. */
const SHORT_LIVED = { Exchange: "exchange/exchange.js", Tunnel: "tunnel/tunnel.js" };

/** Handles that a quiet process may have: pipes to its parent, and what it says. */
const ORDINARY = new Set(["PipeWrap", "TTYWrap", "Pipe", "FSReqCallback", "FSReqPromise", "Immediate", "Timeout"]);

/** Looks for what is left. */
export class Leftovers {
  readonly #dist: string;
  #streams = 0;

  constructor(dist: string) {
    this.#dist = dist;
  }

  /** To be called before the first schedule: prototypes are counted as objects, too, and some streams last. */
  begin(): void {
    this.#streams = queryObjects?.(Stream, { format: "count" }) ?? 0;
  }

  /** Objects that live on in proxies in which nothing goes on. */
  async inProxies(): Promise<string[]> {
    if (!queryObjects) return [];
    // Sockets, requests and answers are streams; each class costs a walk over the whole heap.
    const classes: [string, Class, before: number][] = [["Stream", Stream, this.#streams]];
    for (const [name, file] of Object.entries(SHORT_LIVED)) {
      const module = (await import(pathToFileURL(`${this.#dist}/${file}`).href)) as Record<string, Class>;
      if (module[name]) classes.push([name, module[name], 0]);
    }
    await collect();
    return classes.flatMap(([name, of, before]) => {
      const count = queryObjects(of, { format: "count" }) - before;
      return count > SLACK ? [`${count} objects of ${name} live on when nothing is open any more`] : [];
    });
  }

  /** Handles that are open when every proxy is closed. */
  async inProcess(): Promise<string[]> {
    await collect();
    const open = process.getActiveResourcesInfo().filter((one) => !ORDINARY.has(one));
    return open.length === 0 ? [] : [`open when all proxies are closed: ${[...new Set(open)].join(", ")}`];
  }
}
