// An upgraded exchange: bytes both ways until one side ends, then the other is told (SPEC 4.2, 4.3).
// Begun by exchange.ts after the 101. It reads frame headers only, and writes a frame of its own only between frames.
//
//   client ==> [follower] ==> upstream      each `==>` stops reading while the far end takes nothing;
//   client <== [follower] <== upstream      a ping or Close of ours goes in where a frame has just ended

import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import * as ws from "ws";
import type { How, Side as SideName } from "../core/errors.ts";
import type { Live, LiveSet } from "../core/live-set.ts";
import { cut, finish, guard } from "../core/sockets.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import { FrameFollower } from "./frames.ts";
import { Liveness } from "./liveness.ts";

/** Limits of a tunnel, in milliseconds. */
export interface TunnelOptions {
  /** A side that takes no byte for so long while bytes wait is dropped. */
  stallMs: number;
  pingIntervalMs: number;
  pingTimeoutMs: number;
}

/** What a tunnel needs from outside. */
export interface TunnelParts {
  clock: Clock;
  tunnels: LiveSet<Tunnel>;
  options: TunnelOptions;
}

/** The two ends, and who hears when it is over. */
export interface TunnelEnds {
  client: Socket;
  upstream: Socket;
  /** Was an extension negotiated (RFC 6455 9)? */
  extensions: boolean;
  id: string;
  route: string;
  path: string;
  ended(by: SideName, how: How, bytesIn: number, bytesOut: number): void;
  /** A ping was answered. */
  ponged(side: "client" | "upstream", rttMs: number): void;
}

/** After a FIN was passed on, the other direction has this long. */
const HALF_OPEN_MS = 5000;
/** After a Close of ours, the peer has this long to answer. */
const CLOSE_REPLY_MS = 1000;

// RFC 6455 7.4.1, and 1012 "service restart" from the IANA registry it opens.
const GOING_AWAY = 1001;
const SERVICE_RESTART = 1012;

const OPCODE_CLOSE = 0x8;
const OPCODE_PING = 0x9;

// In ws' JavaScript, not in its types.
const { Sender } = ws as unknown as {
  Sender: {
    frame(
      payload: Buffer,
      options: { fin: boolean; opcode: number; mask: boolean; readOnly: boolean; rsv1: boolean },
    ): Buffer[];
  };
};

/** A control frame, masked if it goes to the upstream (we are its client). */
function controlFrame(opcode: number, payload: Buffer, mask: boolean): Buffer {
  return Buffer.concat(Sender.frame(payload, { fin: true, opcode, mask, readOnly: false, rsv1: false }));
}

/** One end: what comes from it, and how it is doing. */
export class End {
  readonly name: "client" | "upstream";
  readonly socket: Socket;
  /** Follows the bytes that come from this end. */
  readonly follower: FrameFollower;
  readonly liveness: Liveness;
  bytes: number = 0;
  /** Since when it takes nothing, while bytes wait for it. */
  blockedSince: number | undefined;
  /** Its FIN came. */
  ended: boolean = false;
  closed: boolean = false;
  /** A frame of ours waits for the end of one that is on its way to this end. */
  wantsPing: boolean = false;
  wantsClose: number | undefined;
  /** It got a Close of ours: nothing may follow. */
  told: boolean = false;

  constructor(name: "client" | "upstream", socket: Socket, extensions: boolean, liveness: Liveness) {
    this.name = name;
    this.socket = socket;
    this.follower = new FrameFollower(name === "client", extensions);
    this.liveness = liveness;
  }
}

/** A tunnel in progress. */
export class Tunnel implements Live, Deadline {
  due: number = Infinity;
  readonly id: string;
  readonly route: string;
  readonly path: string;
  readonly started: number;
  readonly client: End;
  readonly upstream: End;
  readonly #parts: TunnelParts;
  readonly #ends: TunnelEnds;
  readonly #forget: () => void;
  readonly #unwatch: () => void;
  #finDeadline = Infinity;
  #firstFin: "client" | "upstream" | undefined;
  #settled = false;

  constructor(parts: TunnelParts, ends: TunnelEnds) {
    this.#parts = parts;
    this.#ends = ends;
    this.id = ends.id;
    this.route = ends.route;
    this.path = ends.path;
    const { clock, options } = parts;
    this.#unwatch = clock.watch(this);
    this.#forget = parts.tunnels.add(this);
    this.started = clock.now;
    const live = { intervalMs: options.pingIntervalMs, timeoutMs: options.pingTimeoutMs };
    this.client = new End("client", ends.client, ends.extensions, new Liveness(live, clock.now));
    this.upstream = new End("upstream", ends.upstream, ends.extensions, new Liveness(live, clock.now));
  }

  /** Begins to relay. The early bytes are those that came with the upgrade and with the 101. */
  start(earlyClient: Buffer, earlyUpstream: Buffer): void {
    this.#attach(this.client, this.upstream);
    this.#attach(this.upstream, this.client);
    if (earlyUpstream.length > 0) this.#onData(this.upstream, this.client, earlyUpstream);
    if (earlyClient.length > 0) this.#onData(this.client, this.upstream, earlyClient);
    this.#look(this.#parts.clock.now);
    // The handshake may have outlived one of them.
    for (const end of [this.client, this.upstream]) {
      if (end.socket.closed) this.#onClose(end, this.other(end));
      else if (end.socket.readableEnded) this.#onEnd(end, this.other(end));
    }
  }

  /** It is accounted for, and waits only for its sockets to close. */
  get settled(): boolean {
    return this.#settled;
  }

  other(end: End): End {
    return end === this.client ? this.upstream : this.client;
  }

  #attach(end: End, other: End): void {
    const { socket } = end;
    guard(socket);
    socket.setTimeout(0);
    socket.on("data", (chunk: Buffer) => this.#onData(end, other, chunk));
    socket.on("drain", () => this.#onDrain(end, other));
    socket.on("end", () => this.#onEnd(end, other));
    socket.on("close", () => this.#onClose(end, other));
    socket.resume();
  }

  #onData(from: End, to: End, chunk: Buffer): void {
    if (this.#settled) return;
    from.bytes += chunk.length;
    from.liveness.lastByte = this.#parts.clock.now;
    const bytes = from.follower.push(chunk);
    const { boundary } = from.follower;
    const waits = to.wantsPing || to.wantsClose !== undefined;
    if (!waits || boundary < 0) return this.#pass(from, to, bytes);
    // Something of ours waits for a frame to end: it goes in at the last end of one in these bytes.
    this.#pass(from, to, bytes.subarray(0, boundary));
    this.#insert(from, to);
    this.#pass(from, to, bytes.subarray(boundary));
    if (this.client.told && this.upstream.told) this.#endBoth();
  }

  #pass(from: End, to: End, bytes: Buffer): void {
    if (bytes.length === 0 || to.told || to.socket.write(bytes)) return;
    from.socket.pause();
    to.blockedSince ??= this.#parts.clock.now;
    this.due = Math.min(this.due, to.blockedSince + this.#parts.options.stallMs);
  }

  /** Writes our ping or Close to an end towards which a frame has just ended. */
  #insert(from: End, to: End): void {
    if (from.follower.closed || to.socket.writableEnded) return;
    if (to.wantsClose !== undefined) {
      const payload = Buffer.from([to.wantsClose >> 8, to.wantsClose & 0xff]);
      to.wantsClose = undefined;
      to.told = true;
      to.socket.write(controlFrame(OPCODE_CLOSE, payload, to === this.upstream));
    } else if (to.wantsPing) {
      to.wantsPing = false;
      const payload = randomBytes(8);
      const asked = performance.now();
      to.follower.expectPong(payload, () => {
        to.liveness.answered(this.#parts.clock.now, performance.now() - asked);
        this.#ends.ponged(to.name, performance.now() - asked);
      });
      to.liveness.asked(this.#parts.clock.now);
      to.socket.write(controlFrame(OPCODE_PING, payload, to === this.upstream));
    }
  }

  #onDrain(end: End, other: End): void {
    end.blockedSince = undefined;
    other.socket.resume();
  }

  /** A FIN is passed on behind the bytes before it; what comes the other way has a while yet (SPEC 4.2). */
  #onEnd(end: End, other: End): void {
    if (end.ended) return;
    end.ended = true;
    this.#firstFin ??= end.name;
    if (!this.#settled) this.#tell(end, other, end === this.client ? GOING_AWAY : SERVICE_RESTART);
    other.socket.end();
    if (other.ended) return;
    this.#finDeadline = this.#parts.clock.now + HALF_OPEN_MS;
    this.due = Math.min(this.due, this.#finDeadline);
  }

  #onClose(end: End, other: End): void {
    if (end.closed) return;
    end.closed = true;
    if (other.closed) this.#forget();
    if (this.#settled) return;
    if (end.ended && other.ended) this.#settle(this.#firstFin ?? end.name, "fin");
    else this.#lose(end, other, guard(end.socket).how ?? "fin");
  }

  /** One end is gone: the other is told, given a moment to answer, and ended. */
  #lose(end: End, other: End, how: How): void {
    this.#settle(end.name, how);
    this.#tell(end, other, end === this.client ? GOING_AWAY : SERVICE_RESTART);
    cut(end.socket);
    finish(other.socket, CLOSE_REPLY_MS);
  }

  /** Sends a Close, if a frame may stand here and none has passed (SPEC 4.3). */
  #tell(end: End, other: End, code: number): void {
    if (other.told || end.follower.closed || !end.follower.betweenFrames) return;
    other.wantsClose = code;
    this.#insert(end, other);
  }

  /** Looks at every limit, and when to look again. */
  #look(now: number): void {
    for (const end of [this.client, this.upstream]) {
      const other = this.other(end);
      if (end.blockedSince !== undefined && now >= end.blockedSince + this.#parts.options.stallMs) {
        return this.#lose(end, other, "timeout");
      }
      if (this.#isFramed()) {
        const verdict = end.liveness.verdict(now);
        if (verdict === "dead") return this.#lose(end, other, "no_pong");
        if (verdict === "ask" && !end.wantsPing && !end.ended) this.#ask(end, other, now);
      }
    }
    if (now >= this.#finDeadline) {
      const first = this[this.#firstFin ?? "client"];
      return this.#lose(first, this.other(first), "fin");
    }
    this.due = Math.min(this.#finDeadline, this.#nextDue(this.client, now), this.#nextDue(this.upstream, now));
  }

  #nextDue(end: End, now: number): number {
    const stall = end.blockedSince === undefined ? Infinity : end.blockedSince + this.#parts.options.stallMs;
    // A ping that waits for a boundary is sent from #onData; the clock has nothing to do until then.
    const ping = this.#isFramed() && !end.wantsPing ? Math.max(end.liveness.nextDue(), now + 1) : Infinity;
    return Math.min(stall, ping);
  }

  /** Asks a silent end for a sign of life. Behind a Close no ping may stand: then the Close was the question. */
  #ask(end: End, other: End, now: number): void {
    if (other.follower.closed) return end.liveness.asked(now);
    end.wantsPing = true;
    if (other.follower.betweenFrames) this.#insert(other, end);
  }

  #isFramed(): boolean {
    return !this.client.follower.opaque && !this.upstream.follower.opaque;
  }

  onDue(now: number): void {
    if (!this.#settled) this.#look(now);
  }

  /** Says 1001 to both at the next frame boundary, then waits for them to close (SPEC 7.3). */
  drain(): void {
    if (!this.#isFramed()) return;
    for (const end of [this.client, this.upstream]) {
      const other = this.other(end);
      if (end.told || other.follower.closed) continue;
      end.wantsClose = GOING_AWAY;
      if (other.follower.betweenFrames) this.#insert(other, end);
    }
    if (this.client.told && this.upstream.told) this.#endBoth();
  }

  /** The link is under suspicion: the upstream is asked now, so that a living tunnel can prove it (SPEC 6.2). */
  onLinkSuspected(upstream: string): void {
    const end = this.upstream;
    if (upstream !== this.route || this.#settled || !this.#isFramed() || end.ended || end.wantsPing) return;
    if (this.#parts.options.pingIntervalMs > 0) this.#ask(end, this.client, this.#parts.clock.now);
  }

  /** The link was lost: without a byte since the first failure this tunnel is dead, too (SPEC 6.2). */
  onLinkLost(upstream: string, since: number): void {
    if (upstream !== this.route || this.#settled || this.upstream.liveness.lastByte >= since) return;
    this.#lose(this.upstream, this.client, "timeout");
  }

  abandon(): void {
    this.#settle("proxy", "drain");
    cut(this.client.socket);
    cut(this.upstream.socket);
  }

  #endBoth(): void {
    this.#settle("proxy", "drain");
    finish(this.client.socket, CLOSE_REPLY_MS);
    finish(this.upstream.socket, CLOSE_REPLY_MS);
  }

  /** Accounts for the tunnel, once. It stays in the live set until both sockets are closed. */
  #settle(by: SideName, how: How): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#unwatch();
    this.#ends.ended(by, how, this.client.bytes, this.upstream.bytes);
  }
}
