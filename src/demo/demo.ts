// `single-port demo`: two small upstreams as child processes, so that there is something to put on one port.
// Called by cli.ts, which runs the proxy itself in front of them. The only rooms that hurt anybody on purpose.

import { parseMux, parseTarget, type MuxTarget, type Target } from "../core/target.ts";
import { Part } from "./part.ts";

/** The demo's upstreams, up and listening. */
export interface Demo {
  http: Target;
  mux: MuxTarget[];
  /** The line that a person waits for. */
  greeting(host: string, port: number, livePage: string | undefined): string;
  /** Ends both; resolves when they are gone. */
  close(): Promise<void>;
}

/** Starts a web server and a mux, each on a port of its own on loopback. */
export async function startDemo(): Promise<Demo> {
  const mux = new Part("mux", () => {});
  const web = new Part("web", (hurt) => mux.tell(hurt));
  const [webPort, muxPort] = await Promise.all([web.start(), mux.start()]);
  return {
    http: parseTarget(String(webPort)),
    mux: [parseMux(`${muxPort}/mux`)],
    greeting,
    close: async () => void (await Promise.all([web.end(), mux.end()])),
  };
}

function greeting(host: string, port: number, livePage: string | undefined): string {
  const name = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host;
  const live = livePage === undefined ? "" : `, its live page at ${livePage}`;
  return `the demo is at http://${name}:${port}/${live} (Ctrl-C ends it)`;
}
