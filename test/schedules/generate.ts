// Generates schedules (with fast-check, so that a failing one shrinks). Most parts of a schedule are ordinary, so that
// its few faults have ordinary exchanges beside them, which must not be affected.

import fc from "fast-check";
import type { AnswerSpec, ClientSpec, ExchangeSpec, Fault, Pick, RequestSpec, Schedule, World } from "./schedule.ts";

/** One of these values, as often as its weight says; the first is what it shrinks to. */
function often<T>(...choices: [weight: number, value: T][]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })));
}

const size = fc.oneof(
  { weight: 12, arbitrary: fc.nat({ max: 40 }) },
  { weight: 4, arbitrary: fc.constantFrom(0, 1, 200, 1000) },
  { weight: 2, arbitrary: fc.constantFrom(3000, 5000, 20_000) },
  { weight: 1, arbitrary: fc.constant(70_000) },
);

const request: fc.Arbitrary<RequestSpec> = fc
  .record({
    method: often<RequestSpec["method"]>(
      [9, "GET"],
      [3, "HEAD"],
      [5, "POST"],
      [3, "PUT"],
      [1, "DELETE"],
      [1, "OPTIONS"],
    ),
    framing: often<RequestSpec["framing"]>([1, "none"], [2, "length"], [2, "chunked"]),
    size,
    version: often<RequestSpec["version"]>([10, "1.1"], [2, "1.0"]),
    extra: often<RequestSpec["extra"]>([14, "none"], [1, "close"], [1, "expect"], [1, "idempotent"], [1, "trailers"]),
    upgrade: fc.constant<"none">("none"),
  })
  .map((one) => {
    const bare = one.method === "GET" || one.method === "HEAD" || one.method === "OPTIONS";
    // An HTTP/1.0 client knows no chunks.
    const framing = bare ? "none" : one.framing === "chunked" && one.version === "1.0" ? "length" : one.framing;
    const expects = one.extra === "expect" && (framing === "none" || one.version === "1.0");
    return { ...one, framing, extra: expects ? "none" : one.extra };
  });

const answer: fc.Arbitrary<AnswerSpec> = fc.record({
  status: often<AnswerSpec["status"]>([14, 200], [1, 204], [1, 304], [1, 404], [1, 503]),
  framing: often<AnswerSpec["framing"]>([8, "length"], [6, "chunked"], [2, "close"]),
  size,
  version: often<AnswerSpec["version"]>([14, "1.1"], [1, "1.0"]),
  interims: often<number[]>([16, []], [1, [100]], [1, [103]], [1, [103, 100, 103]]),
  keeps: often<AnswerSpec["keeps"]>([8, "default"], [1, "close"], [3, "hint"], [1, "keep-alive"]),
  trailers: often([9, false], [1, true]),
  events: often([14, false], [1, true]),
  early: often([7, false], [1, true]),
  flaw: often<AnswerSpec["flaw"]>(
    [30, "none"],
    [1, "garbage"],
    [2, "bad-chunk"],
    [1, "two-lengths"],
    [1, "bad-status"],
    [2, "surplus"],
    [1, "surplus-answer"],
  ),
  switches: fc.constant(false),
});

/** Places to cut bytes at: ends of heads and messages by name, and any share of the whole. */
const cuts: fc.Arbitrary<number[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 6 }) },
    // Not fc.double: most of its values between 0 and 1 are next to 0.
    { weight: 2, arbitrary: fc.nat({ max: 998 }).map((n) => (n + 1) / 1000) },
  ),
  { maxLength: 4 },
);

function faults(weight: number, ...kinds: [number, Fault["kind"]][]): fc.Arbitrary<Fault> {
  return fc.record({
    kind: often<Fault["kind"]>([weight, "none"], ...kinds),
    at: fc.nat({ max: 4 }),
    times: often([5, 1], [1, 2], [2, 4]),
  });
}

const sizes = fc.array(fc.oneof({ weight: 5, arbitrary: fc.nat({ max: 30 }) }, fc.constantFrom(125, 126, 3000)), {
  maxLength: 3,
});

const exchange: fc.Arbitrary<ExchangeSpec> = fc.record({
  request,
  answer,
  cuts,
  fault: faults(40, [4, "fin"], [4, "rst"], [3, "close"], [1, "leave"], [2, "pause"], [2, "nap"], [1, "stall"]),
  frames: fc.constant({ client: [], upstream: [], closes: "none" as const }),
});

/** The last of a connection may ask for a tunnel, and is refused one now and then. */
const tunnel: fc.Arbitrary<ExchangeSpec> = fc
  .record({
    base: exchange,
    upgrade: fc.constantFrom<"mux" | "web">("mux", "web"),
    switches: often([8, true], [1, false]),
    frames: fc.record({
      client: sizes,
      upstream: sizes,
      closes: often<"none" | "client" | "upstream">([3, "none"], [1, "client"], [1, "upstream"]),
    }),
  })
  .map(({ base, upgrade, switches, frames }) => ({
    ...base,
    request: { method: "GET", framing: "none", size: 0, version: "1.1", extra: "none", upgrade },
    answer: { ...base.answer, switches, early: false, flaw: switches ? "none" : base.answer.flaw },
    frames,
  }));

const client: fc.Arbitrary<ClientSpec> = fc
  .record({
    exchanges: fc.array(exchange, { minLength: 1, maxLength: 3 }),
    last: fc.option(tunnel, { freq: 4 }),
    hasLast: often([5, false], [1, true]),
    cuts,
    fault: faults(
      40,
      [5, "fin"],
      [5, "rst"],
      [2, "close"],
      [2, "pause"],
      [2, "nap"],
      [1, "deaf"],
      [1, "stall"],
      [2, "cross"],
    ),
  })
  .map(({ exchanges, last, hasLast, cuts, fault }) => ({
    exchanges: last && hasLast ? [...exchanges.slice(1), last] : exchanges,
    cuts,
    fault,
  }));

const picks: fc.Arbitrary<Pick[]> = fc.array(
  fc.record({ who: fc.nat({ max: 11 }), turns: often([5, 0], [4, 1], [2, 2], [2, 4], [1, 8]) }),
  { minLength: 4, maxLength: 40 },
);

/** More than all buffers on the way hold, in bytes. */
const LARGEST = 6_000_000;

/** More than most buffers hold, for somebody who does not take it. */
interface Flood {
  bytes: number;
  kind: Fault["kind"];
  at: number;
}

const flood: fc.Arbitrary<Flood> = fc.record({
  bytes: fc.constantFrom(500_000, LARGEST),
  kind: often<Fault["kind"]>([2, "pause"], [1, "nap"], [2, "deaf"], [2, "stall"], [1, "rst"]),
  at: often([3, 0], [1, 1], [1, 2]),
});

/** The first exchange of a client with a large answer, or a large upload. */
function flooded(one: ClientSpec, { bytes, kind, at }: Flood, up: boolean): ClientSpec {
  const [first, ...others] = one.exchanges;
  if (!first || first.request.upgrade !== "none") return one;
  const { request, answer } = first;
  // A client that takes nothing has to ask all the same.
  const fault: Fault = {
    kind: up && kind === "deaf" ? "stall" : !up && kind === "stall" ? "deaf" : kind,
    at,
    times: 4,
  };
  if (up) {
    const framing = request.framing === "none" ? "length" : request.framing;
    const method = request.framing === "none" ? "PUT" : request.method;
    // Else nothing goes wrong before all of it has come.
    const answer: AnswerSpec = { ...first.answer, early: first.answer.early || at === 0 };
    return {
      ...one,
      exchanges: [{ ...first, request: { ...request, method, framing, size: bytes }, answer, fault }, ...others],
    };
  }
  const framing = answer.framing === "chunked" ? "length" : answer.framing;
  const large: AnswerSpec = {
    ...answer,
    framing,
    status: 200,
    size: fault.kind === "deaf" ? LARGEST : bytes,
    flaw: "none",
  };
  const asks: RequestSpec = { ...request, method: request.method === "HEAD" ? "GET" : request.method };
  return { ...one, fault, exchanges: [{ ...first, request: asks, answer: large }, ...others] };
}

/** A connection that its upstream promises to keep, and does not; a POST comes meanwhile, which must be done once. */
function betrayed(one: ClientSpec, kind: Fault["kind"], times: number): ClientSpec {
  const [first] = one.exchanges;
  if (!first || first.request.upgrade !== "none") return one;
  const request: RequestSpec = { ...first.request, method: "GET", framing: "none", version: "1.1", extra: "none" };
  const post: RequestSpec = { ...request, method: "POST", framing: "length", size: first.request.size % 900 };
  const answer: AnswerSpec = {
    ...first.answer,
    framing: "length",
    version: "1.1",
    size: 20,
    keeps: "hint",
    flaw: "none",
  };
  const kept: ExchangeSpec = { ...first, request, answer: { ...answer, early: false }, fault: { kind, at: 9, times } };
  const fault: Fault = { kind: "none", at: 0, times: 1 };
  return { exchanges: [kept, { ...kept, request: post, fault }], cuts: [1], fault };
}

/** Any schedule. */
export const schedules: fc.Arbitrary<Schedule> = fc
  .record({
    clients: fc.oneof(
      { weight: 2, arbitrary: fc.array(client, { minLength: 1, maxLength: 1 }) },
      { weight: 4, arbitrary: fc.array(client, { minLength: 2, maxLength: 2 }) },
      { weight: 1, arbitrary: fc.array(client, { minLength: 3, maxLength: 3 }) },
    ),
    world: often<World>([80, "none"], [2, "kill"], [4, "drain"], [1, "takeover"]),
    order: picks,
    isFlooded: often([500, false], [1, true]),
    isUpload: fc.boolean(),
    isBetrayed: often([25, false], [1, true]),
    breach: often<Fault["kind"]>([3, "leave"], [1, "close"], [1, "rst"], [1, "fin"]),
    times: often([1, 1], [1, 2], [1, 4]),
    flood,
  })
  .map(({ clients: [first, ...others], isFlooded, isUpload, isBetrayed, breach, times, flood, world, order }) => {
    if (!first) return { clients: [], world, order };
    const special = isFlooded ? flooded(first, flood, isUpload) : isBetrayed ? betrayed(first, breach, times) : first;
    return { clients: [special, ...others], world, order };
  });
