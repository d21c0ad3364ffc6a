// An upgraded exchange: bytes pass both ways until one side ends, then the other side is told.
// Begun by exchange.ts after the 101. It reads frame headers only, and writes a frame of its own only between frames.
//
//   client ==> [follower] ==> upstream      each `==>` stops reading while the far end takes nothing;
//   client <== [follower] <== upstream      a ping or Close of ours goes in where a frame has just ended

import type { Socket } from "node:net";
import type { How, Side as SideName } from "../core/errors.ts";
import { writeLent } from "../core/lent.ts";
import type { Live, LiveSet } from "../core/live-set.ts";
import { cut, finish, guard } from "../core/sockets.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import { closeFrame, nextPing, pingFrame } from "./control-frames.ts";
import { End, type EndListener } from "./end.ts";
import { TunnelLimits, type TunnelOptions } from "./limits.ts";
import { Liveness } from "./liveness.ts";

/** What a tunnel needs from outside. */
export interface TunnelParts {
  clock: Clock;
  tunnels: LiveSet<Tunnel>;
  options: TunnelOptions;
}

/** The two ends, and who hears when it is over. */
export interface TunnelEnds {
  client: Socket;
  /** Only lends what it says as `data`. */
  upstream: Socket;
  /** Was an extension negotiated (RFC 6455 9)? */
  extensions: boolean;
  id: string;
  route: string;
  path: string;
  /** The client's address, for people. */
  from: string;
  /** @param left did the client reset the connection while nothing waited for it, and no frame had begun? */
  ended(by: SideName, how: How, bytesIn: number, bytesOut: number, left: boolean): void;
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

/** A tunnel in progress. */
export class Tunnel implements EndListener, Live, Deadline {
  due: number = Infinity;
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
  readonly #forget: () => void;
  readonly #unwatch: () => void;
  #firstFin: "client" | "upstream" | undefined;
  /** Had somebody said Close before that FIN, or was there no way to say it? */
  #meant = false;
  #settled = false;

  constructor(parts: TunnelParts, ends: TunnelEnds) {
    this.#parts = parts;
    this.#ends = ends;
    this.id = ends.id;
    this.route = ends.route;
    this.path = ends.path;
    this.from = ends.from;
    const { clock, options } = parts;
    this.#unwatch = clock.watch(this);
    this.#forget = parts.tunnels.add(this);
    this.started = clock.now;
    const live = { intervalMs: options.pingIntervalMs, timeoutMs: options.pingTimeoutMs };
    const { extensions } = ends;
    const { stallMs } = options;
    this.client = new End(this, "client", ends.client, extensions, new Liveness(live, clock.now), stallMs);
    this.upstream = new End(this, "upstream", ends.upstream, extensions, new Liveness(live, clock.now), stallMs);
    this.#limits = new TunnelLimits(clock, this.client, this.upstream, options);
  }

  /** Begins to relay. The early bytes are those that came with the upgrade and with the 101. */
  start(earlyClient: Buffer, earlyUpstream: Buffer): void {
    this.client.attach();
    this.upstream.attach();
    if (earlyUpstream.length > 0) this.onData(this.upstream, earlyUpstream);
    if (earlyClient.length > 0) this.onData(this.client, earlyClient);
    this.#look(this.#parts.clock.now);
    // The handshake may have outlived one of them.
    for (const end of [this.client, this.upstream]) {
      if (end.socket.closed) this.onClose(end);
      else if (end.socket.readableEnded) this.onEnd(end);
    }
  }

  /** It is accounted for, and waits only for its sockets to close. */
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
    // Something of ours waits for a frame to end: it goes in at the last end of one in these bytes.
    this.#pass(from, to, bytes.subarray(0, boundary));
    this.#insert(from, to);
    this.#pass(from, to, bytes.subarray(boundary));
    if (this.client.told && this.upstream.told) this.#endBoth();
  }

  #pass(from: End, to: End, bytes: Buffer): void {
    if (bytes.length === 0 || to.told) return;
    // What the upstream says is only lent.
    const flows = from === this.upstream ? writeLent(to.socket, bytes) : to.socket.write(bytes);
    if (!flows) {
      from.socket.pause();
      if (from === this.client) this.#limits.onClientUnread((how) => this.#lose(from, to, how));
    }
    this.#watchBacklog(to);
  }

  /** Bytes that the kernel did not take: the time in which it has to begins. */
  #watchBacklog(end: End): void {
    if (end.socket.writableLength === 0) end.backlog.over();
    // From the first look on each look plans the next: more bytes behind those that wait change nothing.
    else if (!end.backlog.waits) this.due = Math.min(this.due, end.backlog.begin(this.#parts.clock.now));
  }

  /** Writes our ping or Close to an end towards which a frame has just ended. */
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
    // Nobody listened to one of them, and a ping would not have got through to the other.
    end.liveness.excuse(now);
    other.liveness.excuse(now);
    this.due = Math.min(this.due, end.liveness.nextDue(), other.liveness.nextDue());
    if (other === this.client) this.#limits.onClientRead();
    other.socket.resume();
  }

  /** A FIN is passed on behind the bytes before it; bytes from the other end may still come for a while. */
  onEnd(end: End): void {
    if (end.ended) return;
    const other = this.#other(end);
    end.ended = true;
    if (!this.#settled && guard(end.socket).how === "rst") return this.#lose(end, other, "rst");
    if (!this.#firstFin) {
      this.#firstFin = end.name;
      // A process that is killed sends a FIN, too. Only now: the answer to a Close of ours would look the same.
      this.#meant = this.#isClosing() || !this.#limits.isFramed();
    }
    if (!this.#settled) this.#tell(end, other, end === this.client ? GOING_AWAY : SERVICE_RESTART);
    other.socket.end(() => this.#onFinSent(other));
    this.#watchBacklog(other);
    // Both directions are over. What still waits to be taken has the time of any other bytes.
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
    if (other.closed) this.#forget();
    if (this.#settled) return;
    if (!end.ended || !other.ended) this.#lose(end, other, guard(end.socket).how ?? "fin");
    else if (other.closed) this.#settle(this.#firstFin ?? end.name, "fin");
  }

  /** One end is gone: the other is told, given a moment to answer, and ended. */
  #lose(end: End, other: End, how: How): void {
    this.#settle(end.name, how);
    this.#tell(end, other, end === this.client ? GOING_AWAY : SERVICE_RESTART);
    cut(end.socket);
    finish(other.socket, CLOSE_REPLY_MS);
  }

  /** Sends a Close (RFC 6455 5.5.1), if a frame may stand here and no Close has passed. */
  #tell(end: End, other: End, code: number): void {
    if (!this.#limits.isFramed() || this.#isClosing() || !end.follower.betweenFrames) return;
    other.wantsClose = code;
    this.#insert(end, other);
  }

  /** Looks at every limit, and when to look again. */
  #look(now: number): void {
    for (const end of [this.client, this.upstream]) {
      const verdict = this.#limits.verdict(end, now);
      if (verdict === "ask") this.#ask(end, this.#other(end), now);
      else if (verdict) return this.#lose(end, this.#other(end), verdict);
    }
    // Both stopped inside a frame, so neither can be asked: silence has to be the answer.
    if (now >= this.#limits.stuckDue()) return this.#lose(this.upstream, this.client, "no_pong");
    if (now >= this.#limits.finDue) {
      const first = this[this.#firstFin ?? "client"];
      return this.#lose(first, this.#other(first), "fin");
    }
    this.due = this.#limits.nextDue(now);
  }

  /** Asks a silent end for a sign of life. Behind a Close no ping may stand: then the Close was the question. */
  #ask(end: End, other: End, now: number): void {
    if (end.told || this.#isClosing()) return end.liveness.asked(now);
    end.wantsPing = now;
    if (other.follower.betweenFrames) this.#insert(other, end);
  }

  /** A Close of one of them has passed: the rest of the handshake is theirs. */
  #isClosing(): boolean {
    return this.client.follower.closed || this.upstream.follower.closed;
  }

  onDue(now: number): void {
    if (!this.#settled) this.#look(now);
  }

  /** Sends Close 1001 to both ends at the next frame boundary (RFC 6455 7.4.1), then waits for them to close. */
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

  /** The link is under suspicion: the upstream is asked now, so that a living tunnel can prove it. */
  onLinkSuspected(upstream: string): void {
    const end = this.upstream;
    if (upstream !== this.route || this.#settled || !this.#limits.canAnswer(end) || end.wantsPing !== undefined) return;
    if (this.#parts.options.pingIntervalMs > 0) this.#ask(end, this.client, this.#parts.clock.now);
  }

  /** The link was lost: a tunnel without a byte from its upstream since the first failure is dead, too. */
  onLinkLost(upstream: string, since: number): void {
    if (upstream !== this.route || this.#settled || this.upstream.liveness.lastByte >= since) return;
    // Nobody listens to it while the client takes nothing.
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

  /** Accounts for the tunnel, once. It stays in the live set until both sockets are closed. */
  #settle(by: SideName, how: How): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#unwatch();
    this.#limits.stop();
    const { client, upstream } = this;
    const isIdle = !client.backlog.waits && client.follower.betweenFrames && upstream.follower.betweenFrames;
    const left = by === "client" && how === "rst" && isIdle;
    this.#ends.ended(by, how === "fin" && this.#meant ? "done" : how, client.bytes, upstream.bytes, left);
  }
}
