// The time limits of a tunnel: which end is late, and when to check again. Made by tunnel.ts, which acts on the
// verdicts. Reads the state of both ends, and changes nothing but their stall timers.

import { UnreadWatch } from "../core/departed.ts";
import type { How } from "../core/errors.ts";
import { isReset } from "../core/sockets.ts";
import { takenBytes } from "../core/taken.ts";
import type { Clock } from "../core/timer.ts";
import type { End } from "./end.ts";

/** Limits of a tunnel, in milliseconds. */
export interface TunnelOptions {
  /** An end that takes no byte for this long, while bytes wait for it, is dropped (--stall-timeout). */
  stallMs: number;
  pingIntervalMs: number;
  pingTimeoutMs: number;
}

/**
 * A ping arrives behind all bytes that its peer has not read yet: up to KERNEL_BUFFERS bytes in two kernels. A peer
 * that reads as slowly as SLOWEST_READER, in bytes per millisecond, is slow and not dead.
 */
const SLOWEST_READER = 64;
const KERNEL_BUFFERS = 8 * 1024 * 1024;

/** The limits of one tunnel. Times are milliseconds of the shared clock. */
export class TunnelLimits {
  /** After a FIN was passed on: when the other direction has to be over. */
  finDue: number = Infinity;
  readonly #clock: Clock;
  readonly #client: End;
  readonly #upstream: End;
  readonly #options: TunnelOptions;
  #unread: UnreadWatch | undefined;

  constructor(clock: Clock, client: End, upstream: End, options: TunnelOptions) {
    this.#clock = clock;
    this.#client = client;
    this.#upstream = upstream;
    this.#options = options;
  }

  /** Have both ends sent valid WebSocket frames so far? */
  isFramed(): boolean {
    return !this.#client.follower.opaque && !this.#upstream.follower.opaque;
  }

  /** Would a ping reach this end, and could its pong be read? Not while bytes wait for either end (see stallMs). */
  canAnswer(end: End): boolean {
    return this.isFramed() && !end.ended && !end.backlog.waits && !end.socket.isPaused();
  }

  /** Is this end lost (how), or to be pinged ("ask")? Undefined when neither. */
  verdict(end: End, now: number): How | "ask" | undefined {
    if (this.#isStalled(end, now)) return "timeout";
    if (!this.canAnswer(end)) return undefined;
    const verdict = end.liveness.verdict(now);
    if (verdict === "dead") return "no_pong";
    return verdict === "ask" && end.wantsPing === undefined ? "ask" : undefined;
  }

  /**
   * The client's socket was paused, because the upstream takes nothing. Checks from now on whether the client was
   * reset: otherwise its tunnel would stay until the stall limit. A FIN of the client is no reason to end the tunnel:
   * bytes before it still have to reach the upstream. Nor is a reset of a paused upstream: a slow client still takes
   * the bytes that came before.
   */
  onClientUnread(lose: (how: How) => void): void {
    const { socket } = this.#client;
    this.#unread ??= new UnreadWatch(this.#clock, () => (isReset(socket) ? "rst" : undefined), lose);
    this.#unread.begin();
  }

  /** The client's socket was resumed. */
  onClientRead(): void {
    this.#unread?.over();
  }

  /** Stops these checks: the tunnel is over. */
  stop(): void {
    this.#unread?.stop();
  }

  /** When a tunnel is lost whose ends have both stopped inside a frame, so that neither can be pinged. */
  stuckDue(): number {
    const client = this.#client;
    const upstream = this.#upstream;
    if (client.wantsPing === undefined || upstream.wantsPing === undefined) return Infinity;
    if (!this.canAnswer(client) || !this.canAnswer(upstream)) return Infinity;
    const since = Math.max(client.wantsPing, upstream.wantsPing, client.liveness.lastByte, upstream.liveness.lastByte);
    return since + this.#options.pingTimeoutMs;
  }

  /** When to check again. */
  nextDue(now: number): number {
    return Math.min(
      this.finDue,
      this.stuckDue(),
      this.#nextDueOf(this.#client, now),
      this.#nextDueOf(this.#upstream, now),
    );
  }

  /** How long a slow reader may need for the bytes in front of a ping: those sent to it since its last byte came. */
  graceMs(from: End, to: End, now: number): number {
    const read = (now - to.liveness.lastByte) * SLOWEST_READER;
    const unread = Math.min(Math.max(0, from.bytes - to.sentBefore - read), KERNEL_BUFFERS);
    return Math.min(unread / SLOWEST_READER, this.#options.stallMs);
  }

  #nextDueOf(end: End, now: number): number {
    const pingIntervalMs = this.#options.pingIntervalMs || Infinity;
    // Node emits 'drain' only after write() has returned false: smaller backlogs end without an event.
    if (end.backlog.waits) return Math.min(end.backlog.nextLook(now), now + pingIntervalMs);
    // A waiting ping is sent when bytes with a frame boundary come: nothing to do for the clock until then.
    if (!this.canAnswer(end) || end.wantsPing !== undefined) return Infinity;
    // A byte ends the wait for a pong without moving `due`. With a ping timeout that is longer than the interval, the
    // next ping would be late: so check again after the interval at the latest.
    return Math.min(Math.max(end.liveness.nextDue(), now + 1), now + pingIntervalMs);
  }

  /** Has the peer taken nothing for `stallMs`, while bytes wait for it? */
  #isStalled({ backlog, socket }: End, now: number): boolean {
    if (!backlog.waits) return false;
    if (socket.writableLength > 0) return backlog.isLate(now, takenBytes(socket));
    backlog.over();
    return false;
  }
}
