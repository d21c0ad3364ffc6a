// One end of a tunnel: its socket, what comes from it, and how it is doing. Made by tunnel.ts, two for each tunnel; that
// decides, this decides nothing.

import type { Socket } from "node:net";
import { Backlog } from "../core/backlog.ts";
import { guard } from "../core/sockets.ts";
import { FrameFollower } from "./frames.ts";
import type { Liveness } from "./liveness.ts";

/** Who hears what happens at an end. */
export interface EndListener {
  onData(from: End, chunk: Buffer): void;
  onDrain(end: End): void;
  onEnd(end: End): void;
  onClose(end: End): void;
}

// Each socket knows its end, so that the listeners can be the same for all: thousands of tunnels wait for weeks.
const END = Symbol("end");
type TunnelSocket = Socket & { [END]?: End };

/** The client's end, or the upstream's. */
export class End {
  readonly relay: EndListener;
  readonly name: "client" | "upstream";
  readonly socket: Socket;
  /** Follows the bytes that come from this end. */
  readonly follower: FrameFollower;
  readonly liveness: Liveness;
  /** How many came from it. */
  bytes: number = 0;
  /** The bytes that wait for it in our memory. */
  readonly backlog: Backlog;
  /** Its FIN came. */
  ended: boolean = false;
  closed: boolean = false;
  /** A ping of ours waits, since then, for the end of a frame that is on its way to this end. */
  wantsPing: number | undefined;
  /** So does a Close with this code. */
  wantsClose: number | undefined;
  /** How much had come for it from the other end when its last byte came. */
  sentBefore: number = 0;
  /** It got a Close of ours: nothing may follow. */
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

  /** From now on, what its socket says is told to the relay. */
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
