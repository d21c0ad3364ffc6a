// What a tunnel waits for at each end, who is late, and when to look again. Made by tunnel.ts, which acts. It reads the
// state of both ends and changes nothing but the backlogs.

import { UnreadWatch } from "../core/departed.ts";
import type { How } from "../core/errors.ts";
import { isReset } from "../core/sockets.ts";
import { takenBytes } from "../core/taken.ts";
import type { Clock } from "../core/timer.ts";
import type { End } from "./end.ts";

/** Limits of a tunnel, in milliseconds. */
export interface TunnelOptions {
  /** A side that takes no byte for so long while bytes wait is dropped. */
  stallMs: number;
  pingIntervalMs: number;
  pingTimeoutMs: number;
}

/**
 * A ping stands behind what its side has not read yet, megabytes in the buffers of two kernels. A side that reads
 * as slowly as this, in bytes per millisecond, is slow and not dead.
 */
const SLOWEST_READER = 64;
const KERNEL_BUFFERS = 8 * 1024 * 1024;

/** The limits of one tunnel. Times are milliseconds of the shared clock. */
export class TunnelLimits {
  /** Until then the second direction has to be over, once a FIN was passed on. */
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

  /** Do both ends speak WebSocket as far as it was followed? */
  isFramed(): boolean {
    return !this.#client.follower.opaque && !this.#upstream.follower.opaque;
  }

  /** Would we hear it, and would our question reach it? While bytes wait for either end the stall limit counts. */
  canAnswer(end: End): boolean {
    return this.isFramed() && !end.ended && !end.backlog.waits && !end.socket.isPaused();
  }

  /** How an end is lost that is late, or that it is to be asked for a sign of life; undefined when all is well. */
  verdict(end: End, now: number): How | "ask" | undefined {
    if (this.#isStalled(end, now)) return "timeout";
    if (!this.canAnswer(end)) return undefined;
    const verdict = end.liveness.verdict(now);
    if (verdict === "dead") return "no_pong";
    return verdict === "ask" && end.wantsPing === undefined ? "ask" : undefined;
  }

  /**
   * The upstream takes nothing, and so the client is not read from: a client that is reset would keep its tunnel until the
   * stall limit. Its FIN is no reason: that stands behind bytes which are to go up. Nor is the reset of an upstream that is
   * not read from: a slow client still takes what came before.
   */
  onClientUnread(lose: (how: How) => void): void {
    const { socket } = this.#client;
    this.#unread ??= new UnreadWatch(this.#clock, () => (isReset(socket) ? "rst" : undefined), lose);
    this.#unread.begin();
  }

  /** The client is read from again. */
  onClientRead(): void {
    this.#unread?.over();
  }

  /** The tunnel is over. */
  stop(): void {
    this.#unread?.forget();
  }

  /** When both ends are lost that stopped inside a frame: neither can be asked. */
  stuckDue(): number {
    const client = this.#client;
    const upstream = this.#upstream;
    if (client.wantsPing === undefined || upstream.wantsPing === undefined) return Infinity;
    if (!this.canAnswer(client) || !this.canAnswer(upstream)) return Infinity;
    const since = Math.max(client.wantsPing, upstream.wantsPing, client.liveness.lastByte, upstream.liveness.lastByte);
    return since + this.#options.pingTimeoutMs;
  }

  /** When to look at all of this again. */
  nextDue(now: number): number {
    return Math.min(
      this.finDue,
      this.stuckDue(),
      this.#nextDueOf(this.#client, now),
      this.#nextDueOf(this.#upstream, now),
    );
  }

  /** How long a slow reader needs for what it has not read yet, judged by what came for it since its last byte. */
  graceMs(from: End, to: End, now: number): number {
    const read = (now - to.liveness.lastByte) * SLOWEST_READER;
    const unread = Math.min(Math.max(0, from.bytes - to.sentBefore - read), KERNEL_BUFFERS);
    return Math.min(unread / SLOWEST_READER, this.#options.stallMs);
  }

  #nextDueOf(end: End, now: number): number {
    const pingIntervalMs = this.#options.pingIntervalMs || Infinity;
    // Node says `drain` only after a write that it refused; smaller backlogs vanish unseen.
    if (end.backlog.waits) return Math.min(end.backlog.nextLook(now), now + pingIntervalMs);
    // A ping that waits for a boundary is sent when that comes; the clock has nothing to do until then.
    if (!this.canAnswer(end) || end.wantsPing !== undefined) return Infinity;
    // A byte ends the wait for an answer, and nobody then moves the deadline: with a timeout longer than the interval
    // the next question would be late.
    return Math.min(Math.max(end.liveness.nextDue(), now + 1), now + pingIntervalMs);
  }

  /** Did it take nothing for too long, while bytes wait for it? */
  #isStalled({ backlog, socket }: End, now: number): boolean {
    if (!backlog.waits) return false;
    if (socket.writableLength > 0) return backlog.isLate(now, takenBytes(socket));
    backlog.over();
    return false;
  }
}
