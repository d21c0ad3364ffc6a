// `single-port demo`: a web server and a mux as child processes, for a proxy in front of them. Called by cli.ts, which
// runs that proxy. Buttons on the demo's page cause faults: resets, and a killed server.

import { parseMux, parseTarget, type MuxTarget, type Target } from "../core/target.ts";
import { Part } from "./part.ts";

/** The demo's upstreams; both listen. */
export interface Demo {
  http: Target;
  mux: MuxTarget[];
  /** The log line with the demo's URL. */
  greeting(host: string, port: number, livePage: string | undefined): string;
  /** Ends both child processes; resolves when they have exited. */
  close(): Promise<void>;
}

/** Starts the web server and the mux, each on a free port on loopback. */
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
