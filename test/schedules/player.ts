// Plays a schedule in a lane: the steps of clients, upstreams and the proxy in one order, and then a finale in which
// all peers finish and leave. Judges only that everything is closed in the end.

import { clientStep, stepsOf } from "./clients.ts";
import { finale } from "./finale.ts";
import type { Lane } from "./lane.ts";
import { tick } from "./upstream-server.ts";
import { lagSince } from "./loop.ts";
import type { Played, PlayedClient, PlayedExchange } from "./played.ts";
import type { Schedule } from "./schedule.ts";
import { Stage } from "./stage.ts";
import { upstreamStep, upstreamSteps } from "./upstreams.ts";

/** Who takes steps, as long as some are left. */
interface Actor {
  left: number;
  ready: () => boolean;
  run: () => void | Promise<void>;
}

/** One play of a schedule. */
export class Play {
  readonly #stage: Stage;
  #draining: Promise<void> | undefined;
  #drainedAt = Infinity;
  #drainedTurn = Infinity;
  #killedAt = Infinity;

  constructor(lane: Lane, schedule: Schedule) {
    this.#stage = new Stage(lane, schedule);
  }

  /** Plays it; the lane is as good as new afterwards. */
  async run(): Promise<Played> {
    const { lane, schedule, clients, exchanges, sockets, findings } = this.#stage;
    const began = performance.now();
    await lane.prepare(schedule.world);
    lane.accounts = [];
    lane.alarms = [];
    lane.upstream.audience = this.#stage;
    const scriptBegan = performance.now();
    for (const { turns, run } of this.#steps()) {
      await this.#stage.pass(turns);
      await run();
    }
    const scriptMs = performance.now() - scriptBegan;
    if (this.#stage.dead) await this.#revive();
    await finale(this.#stage, this.#draining);
    const ms = performance.now() - scriptBegan;
    findings.push(...lane.alarms);
    for (const { wrong } of sockets)
      if (wrong !== undefined) findings.push(`the upstream got what is no HTTP: ${wrong}`);
    lane.upstream.audience = undefined;
    const played: Played = {
      schedule,
      clients,
      exchanges,
      sockets: [...sockets],
      accounts: lane.accounts,
      findings,
      drainedAt: this.#drainedAt,
      drainedTurn: this.#drainedTurn,
      killedAt: this.#killedAt,
      ms,
      scriptMs,
      lagMs: lagSince(began),
    };
    await lane.restore(schedule.world);
    return played;
  }

  /**
   * All steps in their order. Nobody answers in it what has not been asked: a schedule has to mean the same each time.
   */
  *#steps(): Generator<{ turns: number; run: () => void | Promise<void> }> {
    const actors = this.#actors();
    for (let n = 0; ; n += 1) {
      const able = actors.filter((actor) => actor.left > 0 && actor.ready());
      const pick = this.#stage.schedule.order[n] ?? { who: n, turns: 1 };
      const actor = able[pick.who % Math.max(1, able.length)];
      if (!actor) return;
      actor.left -= 1;
      yield { turns: pick.turns, run: actor.run };
    }
  }

  #actors(): Actor[] {
    const { clients, exchanges, schedule } = this.#stage;
    /** How much each would have sent by now: what really was is another matter. */
    const sentBy = clients.map(() => 0);
    const actors = clients.map((client, n) =>
      this.#clientActor(client, (bytes) => (sentBy[n] = (sentBy[n] ?? 0) + bytes)),
    );
    const ofExchange = new Map<string, Actor>();
    for (const exchange of exchanges) {
      const { client, index } = exchange;
      const actor = this.#upstreamActor(exchange, sentBy, ofExchange.get(`${client}.${index - 1}`));
      ofExchange.set(`${client}.${index}`, actor);
      actors.push(actor);
    }
    const ready = (): boolean => true;
    if (schedule.world === "kill") {
      actors.push({ left: 2, ready, run: () => (this.#stage.dead ? this.#revive() : this.#kill()) });
    } else if (schedule.world !== "none") actors.push({ left: 1, ready, run: () => this.#drain() });
    return actors;
  }

  #clientActor(client: PlayedClient, onSent: (bytes: number) => void): Actor {
    const steps = stepsOf(client.pieces.length, client.spec.fault);
    let given = 0;
    let sent = 0;
    return {
      left: steps.length,
      ready: () => true,
      run: () => {
        const step = steps[given] ?? "piece";
        given += 1;
        if (step === "piece") {
          onSent(client.pieces[sent]?.length ?? 0);
          sent += 1;
        }
        return clientStep(this.#stage, client, step);
      },
    };
  }

  #upstreamActor(exchange: PlayedExchange, sentBy: number[], before: Actor | undefined): Actor {
    const { client, index, spec } = exchange;
    const request = this.#stage.clients[client]?.requests[index];
    const from = (spec.answer.early ? request?.head : request?.end) ?? 0;
    return {
      left: upstreamSteps(exchange),
      ready: () => (sentBy[client] ?? 0) >= from && (before === undefined || before.left === 0),
      run: () => upstreamStep(this.#stage, exchange),
    };
  }

  #drain(): void {
    const { lane, schedule, turns, findings } = this.#stage;
    this.#drainedAt = tick();
    this.#drainedTurn = turns;
    if (schedule.world === "drain") this.#stage.drainsSince = performance.now();
    const over = schedule.world === "takeover" ? lane.takeOver() : lane.proxy.close();
    this.#draining = over.catch((error: Error) => void findings.push(`it cannot be ${schedule.world}: ${error.stack}`));
  }

  #kill(): void {
    this.#killedAt = tick();
    this.#stage.dead = true;
    this.#stage.lane.upstream.kill();
  }

  async #revive(): Promise<void> {
    this.#stage.dead = false;
    await this.#stage.lane.upstream.revive();
  }
}
