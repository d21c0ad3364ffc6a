// An upstream that records every byte and parses it strictly, to find request smuggling.

import { expect } from "vitest";
import { dial, head, type RawClient } from "./client.ts";
import { faultsIn, startDaemon, type TestDaemon } from "./daemon.ts";
import { parseStrictly, type StrictRequest } from "./strict.ts";
import { rawUpstream, type RawUpstream } from "./upstream.ts";
import { until, within } from "./until.ts";

/** Answers a request: the bytes to write, "" for none (the test does it), undefined for the usual answer. */
export type Answer = (request: StrictRequest, peer: RawClient) => string | undefined;

/** The upstream and what it saw. */
export interface Recording extends RawUpstream {
  /** Every complete request of every connection, in order of arrival. Throws if any byte was not strictly HTTP. */
  seen(): StrictRequest[];
  /** What stands behind the complete requests of each connection. */
  rests(): string[];
  /** The connection on which this target was last asked for, waited for: a probe of the link is a connection, too. */
  asked(target: string): Promise<RawClient>;
}

/** A response with a length. */
export function ok(body: string, ...fields: string[]): string {
  return head("HTTP/1.1 200 OK", ...fields, `Content-Length: ${body.length}`) + body;
}

/** Starts it. The usual answer is 200 and says what was asked for: `GET /x`, and a line end. */
export async function recordingUpstream(answer: Answer = () => undefined): Promise<Recording> {
  const seen: StrictRequest[] = [];
  const rests: string[] = [];
  const errors: unknown[] = [];
  const upstream = await rawUpstream((peer) => {
    const index = rests.push("") - 1;
    let known = 0;
    peer.socket.on("end", () => peer.halfClose());
    peer.socket.on("data", () => {
      try {
        const { requests, rest } = parseStrictly(peer.received());
        rests[index] = rest;
        for (const request of requests.slice(known)) {
          known += 1;
          seen.push(request);
          const said = `${request.method} ${request.target}\n`;
          const usual = request.method === "HEAD" ? head("HTTP/1.1 200 OK", "Content-Length: 9") : ok(said);
          peer.send(answer(request, peer) ?? usual);
        }
      } catch (error) {
        errors.push(error);
        peer.reset();
      }
    });
  });
  return {
    ...upstream,
    seen: () => {
      if (errors.length > 0) throw errors[0];
      return seen;
    },
    rests: () => rests,
    asked: (target) =>
      until(
        () => upstream.accepted.findLast((peer) => peer.received().includes(` ${target} HTTP/1.1\r\n`)),
        `a request for ${target}`,
      ),
  };
}

/** A daemon in front of a recording upstream, which is its mux, too. */
export async function recorded(
  answer?: Answer,
  ...args: string[]
): Promise<{ daemon: TestDaemon; upstream: Recording }> {
  const upstream = await recordingUpstream(answer);
  const port = String(upstream.port);
  const daemon = await startDaemon(["--http", port, "--mux", `${port}/mux`, "--hold", "1s", ...args]);
  return { daemon, upstream };
}

/** The status codes in what a client got, in order. */
export function statuses(received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
}

/** The process is the same one, serves the next request, and has nothing to complain about. */
export async function expectUnharmed(daemon: TestDaemon, path = "/alive"): Promise<void> {
  const client = await dial(daemon.port);
  client.send(head(`GET ${path} HTTP/1.1`, "Host: a", "Connection: close"));
  await within(client.ended, "the next request to be served");
  expect(statuses(client.received())).toEqual([200]);
  expect(daemon.child.exitCode).toBeNull();
  expect(daemon.child.signalCode).toBeNull();
  expect(process.kill(daemon.pid, 0)).toBe(true);
  expect(daemon.stderr()).toBe("");
  expect(faultsIn(daemon.log)).toEqual([]);
}
