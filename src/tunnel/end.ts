// One end of a tunnel: the socket of the client or of the upstream, and its state. Made by tunnel.ts, which decides;
// this file only holds the state and passes events on.

import type { Socket } from "node:net";
import { Backlog } from "../core/backlog.ts";
import { guard } from "../core/sockets.ts";
import { FrameFollower } from "./frames.ts";
import type { Liveness } from "./liveness.ts";

/** Receives the events of both ends. */
export interface EndListener {
  onData(from: End, chunk: Buffer): void;
  onDrain(end: End): void;
  onEnd(end: End): void;
  onClose(end: End): void;
}

// The end is a property of its socket, so that all sockets share the same listeners (reasons in core/sockets.ts).
const END = Symbol("end");
type TunnelSocket = Socket & { [END]?: End };

/** One end of a tunnel. */
export class End {
  readonly relay: EndListener;
  readonly name: "client" | "upstream";
  readonly socket: Socket;
  /** Follows the frames that come from this end. */
  readonly follower: FrameFollower;
  readonly liveness: Liveness;
  /** How many bytes came from this end. */
  bytes: number = 0;
  /** The stall timer of bytes that wait to be sent to this end. */
  readonly backlog: Backlog;
  /** Has this end sent FIN? */
  ended: boolean = false;
  closed: boolean = false;
  /** Since when a ping waits to be sent to this end, at the next frame boundary; undefined when none waits. */
  wantsPing: number | undefined;
  /** The code of a Close that waits to be sent to this end, at the next frame boundary. */
  wantsClose: number | undefined;
  /** How many bytes the other end had sent when the last byte came from this end. */
  sentBefore: number = 0;
  /** Has this proxy sent a Close to this end? Then nothing may follow. */
  told: boolean = false;

  constructor(
    relay: EndListener,
    name: "client" | "upstream",
    socket: Socket,
    extensions: boolean,
    liveness: Liveness,
    stallMs: number,
  ) {
    this.relay = relay;
    this.name = name;
    this.socket = socket;
    this.follower = new FrameFollower(name === "client", extensions);
    this.liveness = liveness;
    this.backlog = new Backlog(stallMs);
  }

  /** Attaches the listeners, and starts to read the socket. */
  attach(): void {
    const socket: TunnelSocket = this.socket;
    guard(socket);
    socket[END] = this;
    socket.setTimeout(0);
    socket.on("data", socketOnData);
    socket.on("drain", socketOnDrain);
    socket.on("end", socketOnEnd);
    socket.on("close", socketOnClose);
    socket.resume();
  }
}

function socketOnData(this: TunnelSocket, chunk: Buffer): void {
  const end = this[END];
  end?.relay.onData(end, chunk);
}

function socketOnDrain(this: TunnelSocket): void {
  const end = this[END];
  end?.relay.onDrain(end);
}

function socketOnEnd(this: TunnelSocket): void {
  const end = this[END];
  end?.relay.onEnd(end);
}

function socketOnClose(this: TunnelSocket): void {
  const end = this[END];
  end?.relay.onClose(end);
}
