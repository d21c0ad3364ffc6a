// A tunnel: relays the bytes of a WebSocket in both directions until one side ends, and then tells the other side.
// Opened by exchange after the 101. Reads frame headers only, and writes its own pings and Closes only between frames.
//
//   client ==> [follower] ==> upstream      each `==>` stops reading while the far end takes nothing;
//   client <== [follower] <== upstream      pings and Closes of this proxy are inserted where a frame has just ended

import type { Membership } from "../core/bag.ts";
import type { How, Side as SideName } from "../core/errors.ts";
import { writeLent } from "../core/lent.ts";
import type { Live, LiveSet } from "../core/live-set.ts";
import { cut, finish, guard } from "../core/sockets.ts";
import { Deadline, type Clock } from "../core/timer.ts";
import { closeFrame, nextPing, pingFrame } from "./control-frames.ts";
import { End, type EndListener } from "./end.ts";
import type { TunnelEnds } from "./ends.ts";
import { TunnelLimits, type TunnelOptions } from "./limits.ts";
import { Liveness } from "./liveness.ts";

/** What a tunnel uses of other modules. */
export interface TunnelParts {
  clock: Clock;
  tunnels: LiveSet<Tunnel>;
  options: TunnelOptions;
}

/** After a FIN was passed on, the other direction may go on for this long, in milliseconds. */
const HALF_OPEN_MS = 5000;
/** After this proxy has sent a Close, the peer has this long to answer, in milliseconds. */
const CLOSE_REPLY_MS = 1000;
// RFC 6455 7.4.1, and 1012 "service restart" from the IANA registry it opens.
const GOING_AWAY = 1001;
const SERVICE_RESTART = 1012;

/** A tunnel in progress. */
export class Tunnel extends Deadline implements EndListener, Live {
  readonly id: string;
  readonly route: string;
  readonly path: string;
  readonly from: string;
  readonly started: number;
  readonly client: End;
  readonly upstream: End;
  readonly #parts: TunnelParts;
  readonly #ends: TunnelEnds;
  readonly #limits: TunnelLimits;
  readonly #open: Membership;
  readonly #watched: Membership;
  #firstFin: "client" | "upstream" | undefined;
  /** Was the first FIN a proper end: after a Close frame, or on a connection whose frames cannot be followed? */
  #meant = false;
  #settled = false;

  constructor(parts: TunnelParts, ends: TunnelEnds) {
    super(parts.clock);
    this.#parts = parts;
    this.#ends = ends;
    this.id = ends.id;
    this.route = ends.route;
    this.path = ends.path;
    this.from = ends.from;
    const { clock, options } = parts;
    this.#watched = clock.watch(this);
    this.#open = parts.tunnels.add(this);
    this.started = clock.now;
    const live = { intervalMs: options.pingIntervalMs, timeoutMs: options.pingTimeoutMs };
    const { extensions } = ends;
    const { stallMs } = options;
    this.client = new End(this, "client", ends.client, extensions, new Liveness(live, clock.now), stallMs);
    this.upstream = new End(this, "upstream", ends.upstream, extensions, new Liveness(live, clock.now), stallMs);
    this.#limits = new TunnelLimits(clock, this.client, this.upstream, options);
  }

  /** Starts to relay. The early bytes came behind the head of the upgrade, and behind the 101. */
  start(earlyClient: Buffer, earlyUpstream: Buffer): void {
    this.client.attach();
    this.upstream.attach();
    if (earlyUpstream.length > 0) this.onData(this.upstream, earlyUpstream);
    if (earlyClient.length > 0) this.onData(this.client, earlyClient);
    this.#look(this.#parts.clock.now);
    // A socket may have ended or closed during the handshake.
    for (const end of [this.client, this.upstream]) {
      if (end.socket.closed) this.onClose(end);
      else if (end.socket.readableEnded) this.onEnd(end);
    }
  }

  /** Has the tunnel left its outcome, so that it only waits for its sockets to close? */
  get settled(): boolean {
    return this.#settled;
  }

  #other(end: End): End {
    return end === this.client ? this.upstream : this.client;
  }

  onData(from: End, chunk: Buffer): void {
    if (this.#settled) return;
    const to = this.#other(from);
    from.bytes += chunk.length;
    from.liveness.lastByte = this.#parts.clock.now;
    from.sentBefore = to.bytes;
    const bytes = from.follower.push(chunk);
    const { boundary } = from.follower;
    const waits = to.wantsPing !== undefined || to.wantsClose !== undefined;
    if (!waits || boundary < 0) return this.#pass(from, to, bytes);
    // A ping or Close waits for the end of a frame: it is inserted at the last such end in this chunk.
    this.#pass(from, to, bytes.subarray(0, boundary));
    this.#insert(from, to);
    this.#pass(from, to, bytes.subarray(boundary));
    if (this.client.told && this.upstream.told) this.#endBoth();
  }

  #pass(from: End, to: End, bytes: Buffer): void {
    if (bytes.length === 0 || to.told) return;
    // Chunks from the upstream are borrowed (core/lent.ts).
    const flows = from === this.upstream ? writeLent(to.socket, bytes) : to.socket.write(bytes);
    if (!flows) {
      from.socket.pause();
      if (from === this.client) this.#limits.onClientUnread((how) => this.#lose(from, to, how));
    }
    this.#watchBacklog(to);
  }

  /** Starts the stall timer of an end when the kernel did not take all bytes. */
  #watchBacklog(end: End): void {
    if (end.socket.writableLength === 0) end.backlog.over();
    // Once the timer runs, each check plans the next one: further bytes do not restart it.
    else if (!end.backlog.waits) this.due = Math.min(this.due, end.backlog.begin(this.#parts.clock.now));
  }

  /** Writes the waiting ping or Close to `to`, at a frame boundary of the bytes that go to it. */
  #insert(from: End, to: End): void {
    if (to.told || to.socket.writableEnded) return;
    const { now } = this.#parts.clock;
    if (this.#isClosing()) {
      if (to.wantsPing !== undefined) to.liveness.asked(now);
      to.wantsPing = undefined;
    } else if (to.wantsClose !== undefined) {
      to.socket.write(closeFrame(to.wantsClose, to === this.upstream));
      to.wantsClose = undefined;
      to.told = true;
    } else if (to.wantsPing !== undefined) {
      const spoke = to.liveness.lastByte > to.wantsPing;
      to.wantsPing = undefined;
      if (!spoke) this.#ping(from, to, now);
      this.due = Math.min(this.due, to.liveness.nextDue());
    }
  }

  #ping(from: End, to: End, now: number): void {
    const payload = nextPing();
    const asked = performance.now();
    to.follower.expectPong(payload, () => {
      const rttMs = performance.now() - asked;
      to.liveness.answered(this.#parts.clock.now, rttMs);
      this.#ends.ponged(to.name, rttMs);
    });
    to.liveness.asked(now, this.#limits.graceMs(from, to, now));
    to.socket.write(pingFrame(payload, to === this.upstream));
  }

  onDrain(end: End): void {
    const other = this.#other(end);
    const { now } = this.#parts.clock;
    end.backlog.over();
    // `other` was paused, so it could not be heard; and a ping would not have reached `end` behind the waiting bytes.
    end.liveness.excuse(now);
    other.liveness.excuse(now);
    this.due = Math.min(this.due, end.liveness.nextDue(), other.liveness.nextDue());
    if (other === this.client) this.#limits.onClientRead();
    other.socket.resume();
  }

  /** A FIN came: passes it on behind the bytes before it. The other direction may go on for HALF_OPEN_MS. */
  onEnd(end: End): void {
    if (end.ended) return;
    const other = this.#other(end);
    end.ended = true;
    if (!this.#settled && guard(end.socket).how === "rst") return this.#lose(end, other, "rst");
    if (!this.#firstFin) {
      this.#firstFin = end.name;
      // A killed process sends a FIN, too, but no Close before it. Determined here, before #tell: later a Close that
      // was the answer to ours could not be told from a Close of its own.
      this.#meant = this.#isClosing() || !this.#limits.isFramed();
    }
    if (!this.#settled) this.#tell(end, other, end === this.client ? GOING_AWAY : SERVICE_RESTART);
    other.socket.end(() => this.#onFinSent(other));
    this.#watchBacklog(other);
    // Both directions are over. Bytes that are still unsent are subject to the stall limit only.
    if (other.ended) this.#limits.finDue = Infinity;
  }

  #onFinSent(to: End): void {
    if (to.ended || this.#settled) return;
    this.#limits.finDue = this.#parts.clock.now + HALF_OPEN_MS;
    this.due = Math.min(this.due, this.#limits.finDue);
  }

  onClose(end: End): void {
    if (end.closed) return;
    const other = this.#other(end);
    end.closed = true;
    if (other.closed) this.#open.leave();
    if (this.#settled) return;
    if (!end.ended || !other.ended) this.#lose(end, other, guard(end.socket).how ?? "fin");
    else if (other.closed) this.#settle(this.#firstFin ?? end.name, "fin");
  }

  /** One end is gone: sends a Close to the other, waits CLOSE_REPLY_MS for its answer, and closes it. */
  #lose(end: End, other: End, how: How): void {
    this.#settle(end.name, how);
    this.#tell(end, other, end === this.client ? GOING_AWAY : SERVICE_RESTART);
    cut(end.socket);
    finish(other.socket, CLOSE_REPLY_MS);
  }

  /** Sends a Close to `other` (RFC 6455 5.5.1), if that is at a frame boundary and no Close has passed. */
  #tell(end: End, other: End, code: number): void {
    if (!this.#limits.isFramed() || this.#isClosing() || !end.follower.betweenFrames) return;
    other.wantsClose = code;
    this.#insert(end, other);
  }

  /** Checks every limit, and plans the next check. */
  #look(now: number): void {
    for (const end of [this.client, this.upstream]) {
      const verdict = this.#limits.verdict(end, now);
      if (verdict === "ask") this.#ask(end, this.#other(end), now);
      else if (verdict) return this.#lose(end, this.#other(end), verdict);
    }
    // Both ends stopped inside a frame. A ping inside a frame would corrupt it, so silence alone decides.
    if (now >= this.#limits.stuckDue()) return this.#lose(this.upstream, this.client, "no_pong");
    if (now >= this.#limits.finDue) {
      const first = this[this.#firstFin ?? "client"];
      return this.#lose(first, this.#other(first), "fin");
    }
    this.due = this.#limits.nextDue(now);
  }

  /**
   * Pings a silent end, now or at the next frame boundary. Behind a Close no ping may be sent: the Close counts as one.
   */
  #ask(end: End, other: End, now: number): void {
    if (end.told || this.#isClosing()) return end.liveness.asked(now);
    end.wantsPing = now;
    if (other.follower.betweenFrames) this.#insert(other, end);
  }

  /** Has a Close of either end passed? Then the peers complete the closing handshake themselves. */
  #isClosing(): boolean {
    return this.client.follower.closed || this.upstream.follower.closed;
  }

  onDue(now: number): void {
    if (!this.#settled) this.#look(now);
  }

  /** Sends Close 1001 to both ends, each at its next frame boundary (RFC 6455 7.4.1), and waits for them to close. */
  drain(): void {
    if (!this.#limits.isFramed() || this.#isClosing()) return;
    for (const end of [this.client, this.upstream]) {
      const other = this.#other(end);
      if (end.told) continue;
      end.wantsClose = GOING_AWAY;
      if (other.follower.betweenFrames) this.#insert(other, end);
    }
    if (this.client.told && this.upstream.told) this.#endBoth();
  }

  /** The upstream's link became `suspect`: pings the upstream now, so that a living tunnel survives onLinkLost. */
  onLinkSuspected(upstream: string): void {
    const end = this.upstream;
    if (upstream !== this.route || this.#settled || !this.#limits.canAnswer(end) || end.wantsPing !== undefined) return;
    if (this.#parts.options.pingIntervalMs > 0) this.#ask(end, this.client, this.#parts.clock.now);
  }

  /** The upstream's link was lost. A tunnel without a byte from the upstream since the first failure is dead, too. */
  onLinkLost(upstream: string, since: number): void {
    if (upstream !== this.route || this.#settled || this.upstream.liveness.lastByte >= since) return;
    // The upstream's socket is paused because the client takes nothing: its silence proves nothing.
    if (this.upstream.socket.isPaused()) return;
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

  /** Leaves the outcome, once. The tunnel stays in the live set until both sockets are closed. */
  #settle(by: SideName, how: How): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#watched.leave();
    this.#limits.stop();
    const { client, upstream } = this;
    const isIdle = !client.backlog.waits && client.follower.betweenFrames && upstream.follower.betweenFrames;
    const left = by === "client" && how === "rst" && isIdle;
    this.#ends.ended(by, how === "fin" && this.#meant ? "done" : how, client.bytes, upstream.bytes, left);
  }
}
