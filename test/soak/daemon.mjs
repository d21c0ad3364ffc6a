// The proxy under test: the built one, as a process of its own, and what can be seen of it from outside.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../../bin/single-port.js", import.meta.url));
/** Short enough to be waited for a million times, long enough that no busy machine meets one by itself. */
const LIMITS = {
  "headers-timeout": "2s",
  "body-timeout": "3s",
  "response-timeout": "3s",
  "handshake-timeout": "3s",
  "client-keep-alive": "3s",
  recycle: "1s",
  "stall-timeout": "3s",
  "ping-interval": "1s",
  "ping-timeout": "3s",
  "probe-interval": "1s",
  "max-tunnels": "100000",
  "max-connections": "100000",
};

/** Starts it. @param {string[]} targets its upstreams, as options */
export async function startDaemon(targets) {
  const limits = Object.entries(LIMITS).flatMap(([name, value]) => [`--${name}`, value]);
  const args = ["--port", "0", "--admin", "127.0.0.1:0", "--log-format", "json", ...targets, ...limits];
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(SINGLE_PORT_|PORT$|HOST$|NEXT_INTER|DIRECT_TERM|NODE_OPT)/.test(name),
    ),
  );
  const node = process.env["SINGLE_PORT_TEST_NODE"] ?? process.execPath;
  const child = spawn(node, [BIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const seen = { lines: 0, bad: [], stderr: "", ended: undefined };
  let admin = "";
  let port = 0;
  let rest = "";
  child.stderr.on("data", (text) => (seen.stderr += text));
  child.once("close", (code, signal) => (seen.ended = code ?? signal));
  await new Promise((resolve, reject) => {
    child.once("close", () => reject(new Error(`the proxy did not start: ${seen.stderr}`)));
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        seen.lines += 1;
        const { level, msg, state } = JSON.parse(line);
        // An upstream that is lost is an error, too, and not one of the proxy.
        if (((level >= 50 && state === undefined) || line.includes("uncaught")) && seen.bad.length < 20)
          seen.bad.push(line);
        port ||= Number(/^listening on (\d+)/.exec(msg)?.[1] ?? 0);
        admin ||= /^admin on (.+)/.exec(msg)?.[1] ?? "";
        if (port && admin) resolve(undefined);
      }
    });
  });
  const { pid } = child;
  return {
    pid,
    port,
    seen,
    descriptors: () => readdirSync(`/proc/${pid}/fd`).length,
    residentBytes: () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]),
    /** @param {string} path */
    ask: async (path) => await (await fetch(`http://${admin}${path}`, { headers: { Connection: "close" } })).text(),
    /** Sends SIGTERM; resolves with the exit code. */
    stop: () =>
      new Promise((resolve) => {
        child.once("close", (code, signal) => resolve(code ?? signal));
        child.kill("SIGTERM");
      }),
    kill: () => void child.kill("SIGKILL"),
  };
}

/** Sums a metric by one of its labels. @param {string} text @param {string} name @param {string} label */
export function sumsBy(text, name, label) {
  const sums = {};
  for (const [, labels, value] of text.matchAll(new RegExp(`^single_port_${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"))) {
    const key = new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(labels ?? "")?.[1] ?? "";
    sums[key] = (sums[key] ?? 0) + Number(value);
  }
  return sums;
}

/** @param {Record<string, number>} sums */
export function totalOf(sums) {
  return Object.values(sums).reduce((sum, value) => sum + value, 0);
}
