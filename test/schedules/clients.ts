// What clients do in a play: dial, send the next piece, cause a fault.

import { connect, type Socket } from "node:net";
import { tick } from "./upstream-server.ts";
import { end, isReset, reset } from "./loop.ts";
import type { PlayedClient } from "./played.ts";
import type { Fault, FaultKind } from "./schedule.ts";
import type { Stage } from "./stage.ts";

const CONNECT_MS = 1000;
/** After this time, in milliseconds, the port of a proxy that drains may have been given to that of another lane. */
const SURELY_OURS_MS = 20;

/** After these a peer takes no step any more. */
export const LAST_FAULTS: ReadonlySet<FaultKind> = new Set<FaultKind>(["fin", "rst", "close", "stall", "cross"]);

/** A step: the next piece, a fault, or reading again. */
export type Step = "piece" | "fault" | "read";

/** The steps of a peer that has so many pieces. */
export function stepsOf(pieces: number, { kind, at }: Fault): Step[] {
  const all = Array.from({ length: pieces }, (): Step => "piece");
  if (kind === "none") return all;
  const before = all.slice(0, at);
  if (LAST_FAULTS.has(kind)) return [...before, "fault"];
  const rest = all.slice(at);
  return kind === "nap"
    ? [...before, "fault", ...rest.slice(0, 1), "read", ...rest.slice(1)]
    : [...before, "fault", ...rest];
}

/** Dials the proxy; resolves when the connection stands, or was refused. */
async function dial(stage: Stage, client: PlayedClient): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: stage.lane.port, allowHalfOpen: true, noDelay: true });
  client.socket = socket;
  const ended = (how: PlayedClient["ended"]): void => {
    if (client.ended !== "no") return;
    client.ended = how;
    client.endedAt = tick();
  };
  socket.on("error", (error: NodeJS.ErrnoException) => ended(error.code === "ECONNREFUSED" ? "refused" : "rst"));
  socket.on("data", (chunk: Buffer) => {
    client.received += chunk.toString("latin1");
    stage.changed();
  });
  socket.on("end", () => {
    ended(socket.writableEnded ? "unclear" : isReset(socket) ? "rst" : "fin");
    stage.changed();
  });
  let connected = false;
  socket.once("connect", () => {
    connected = true;
    stage.changed();
  });
  socket.on("close", () => {
    client.closed = true;
    stage.changed();
  });
  await stage.waiting.until(() => connected || client.closed, CONNECT_MS);
  return socket;
}

/** The next step of a client. */
export async function clientStep(stage: Stage, client: PlayedClient, step: Step): Promise<void> {
  if (LAST_FAULTS.has(client.fault) || client.ended !== "no") return;
  if (!client.socket && performance.now() - stage.drainsSince > SURELY_OURS_MS) {
    client.ended = "refused";
    client.endedAt = tick();
    return;
  }
  const socket = client.socket ?? (await dial(stage, client));
  if (step === "read") return void socket.resume();
  if (step === "fault") return fail(client, socket);
  if (!client.crosses) sendPiece(stage, client, socket);
}

/** A client that crosses sends what it has left: our FIN has come. */
export function sendRest(stage: Stage, client: PlayedClient): void {
  const { socket } = client;
  if (!socket || !client.crosses || client.ended !== "fin") return;
  client.crosses = false;
  while (sendPiece(stage, client, socket));
}

/** Sends the next piece, if there is one. */
function sendPiece(stage: Stage, client: PlayedClient, socket: Socket): boolean {
  const piece = client.pieces[client.log.length];
  if (piece === undefined || !socket.writable) return false;
  client.sent += piece.length;
  client.log.push({ at: tick(), turn: stage.turns, upTo: client.sent });
  socket.write(piece, "latin1");
  return true;
}

function fail(client: PlayedClient, socket: Socket): void {
  const { requests, sent, spec } = client;
  // Before its first request, or in the middle of one, it would only be late.
  const isBetween = requests.some(({ end: at }) => at === sent);
  if (spec.fault.kind === "cross" && isBetween) return void (client.crosses = true);
  const kind = spec.fault.kind === "cross" ? "fin" : spec.fault.kind;
  client.faultAt = tick();
  if (kind === "pause" || kind === "nap") return void socket.pause();
  client.fault = kind;
  if (kind === "stall" || kind === "deaf") socket.pause();
  else if (kind === "fin") end(socket);
  else if (kind === "close") socket.destroy();
  else reset(socket);
}
