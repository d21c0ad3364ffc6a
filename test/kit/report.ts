// Reads the report of a running daemon, for tests that wait for its internal state.

import { get } from "node:http";
import { join } from "node:path";
import type { Report } from "../../src/ops/report.ts";
import { tempFolder } from "./child.ts";

/** An admin socket: the options that open it, and what is read from it. */
export interface AdminSocket {
  args: string[];
  /** Undefined while it does not listen (yet). */
  report(): Promise<Report | undefined>;
}

/** Prepares an admin socket in a folder of its own. */
export function adminSocket(): AdminSocket {
  const socketPath = join(tempFolder(), "admin");
  return {
    args: ["--admin", `unix:${socketPath}`],
    report: () =>
      new Promise((resolve) => {
        get({ socketPath, path: "/status", agent: false }, (res) => {
          let text = "";
          res.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
          res.on("end", () => resolve(JSON.parse(text) as Report));
        }).on("error", () => resolve(undefined));
      }),
  };
}
