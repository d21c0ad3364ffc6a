// Clients that each send one request after another on a keep-alive connection, and count the results: which requests
// are lost when a proxy stops or is taken over, and which of those the upstream has acted on.

import { setMaxListeners } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { head } from "./client.ts";
import { atEnd } from "./lifetime.ts";
import { parseResponse } from "./messages.ts";
import { httpUpstream } from "./upstream.ts";

/** The results of the requests. */
export interface Tally {
  answered: number;
  /** Sent, and never answered. */
  lost: string[];
  /** Of those, requests that the upstream has acted on: the client cannot know, and must not send them again. */
  doneButLost: string[];
  /** Connections that nobody accepted. */
  refused: number;
  /** Answers that were not the upstream's. */
  wrong: string[];
}

/** Senders at work. */
export interface Senders {
  /** Answered so far. */
  answered(): number;
  /** Ends the work; resolves with what became of all when the last request is over. */
  stop(): Promise<Tally>;
}

/** An upstream that knows what it has done, by the path of each request. */
export async function doer(): Promise<{ port: number; done: Set<string> }> {
  const done = new Set<string>();
  const { port } = await httpUpstream((req, res) => {
    req.resume().on("end", () => {
      done.add(req.url ?? "");
      res.end("ok");
    });
  });
  return { port, done };
}

/**
 * Starts as many clients as there are `breaksMs`: each waits so long between an answer and its next POST, and sends it
 * on the connection it has, unless it has read `Connection: close` or a FIN on that: then on a new one. Where nobody
 * accepts, a client tries again if `stays`, or has ended.
 */
export function send(port: number, done: Set<string>, breaksMs: number[], stays: boolean): Senders {
  const tally: Tally = { answered: 0, lost: [], doneButLost: [], refused: 0, wrong: [] };
  const over = new AbortController();
  setMaxListeners(breaksMs.length, over.signal);
  atEnd(() => over.abort());
  let count = 0;
  const work = breaksMs.map(async (breakMs, index) => {
    let socket: Socket | undefined;
    while (!over.signal.aborted) {
      if (!socket || socket.readableEnded || socket.destroyed) {
        socket?.destroy();
        socket = await open(port);
        if (!socket) {
          tally.refused += 1;
          if (!stays) return;
          await sleep(1);
          continue;
        }
      }
      count += 1;
      const path = `/${index}-${count}`;
      const answer = await post(socket, path);
      if (answer === undefined) tally.lost.push(path);
      else if (answer === "200 ok") tally.answered += 1;
      else tally.wrong.push(answer);
      await sleep(breakMs, undefined, { signal: over.signal }).catch(() => {});
    }
    socket?.destroy();
  });
  return {
    answered: () => tally.answered,
    stop: async () => {
      over.abort();
      await Promise.all(work);
      return { ...tally, doneButLost: tally.lost.filter((path) => done.has(path)) };
    },
  };
}

/** A connection, or undefined when it was refused. */
function open(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket));
    socket.on("error", () => resolve(undefined));
    // A FIN is only seen by who reads.
    socket.resume();
  });
}

/** Status and body; undefined when the connection ended before. */
function post(socket: Socket, path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = "";
    const end = (answer?: string): void => {
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      socket.resume();
      resolve(answer);
    };
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      const answer = parseResponse(text, "POST");
      if (!answer) return;
      end(`${answer.status} ${answer.body}`);
      if (answer.field("connection") === "close") socket.destroy();
    };
    const onEnd = (): void => end();
    socket.on("data", onData).once("end", onEnd).once("close", onEnd);
    socket.write(`${head(`POST ${path} HTTP/1.1`, "Host: a", "Content-Length: 4")}data`);
  });
}
