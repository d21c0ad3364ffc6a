// Fuzzing in bounded time: a property is tried for some seconds, from a seed that is printed when it fails.

import type { Socket } from "node:net";
import fc from "fast-check";

/** For one property; SINGLE_PORT_FUZZ_SECONDS looks longer. */
const SECONDS: number = Number(process.env["SINGLE_PORT_FUZZ_SECONDS"] ?? 1);
/**
 * The seed is the same in each run, so that a failure can be repeated. SINGLE_PORT_FUZZ_SEED sets another, or `random`.
 */
const seed: string = process.env["SINGLE_PORT_FUZZ_SEED"] ?? "1";

/** Above the number of runs that fit into the time on any machine: only the time limits. */
const RUNS = 10_000_000;
/** Tried whatever time they take: on a busy machine the first one alone may take longer than there is. */
const AT_LEAST = 5;

/** The time a test with so many properties may take, in milliseconds: shrinking a failure needs some, too. */
export function patience(properties = 1): number {
  return properties * (SECONDS * 1000 + 15_000);
}

/** Tries a property for some seconds; a failure says its seed and the smallest case that was found. */
export async function tryOut<T>(property: fc.IRawProperty<T>): Promise<void> {
  const from = seed === "random" ? {} : { seed: Number(seed) };
  await fc.assert(property, { ...from, numRuns: AT_LEAST });
  const timed = await fc.check(property, { ...from, numRuns: RUNS, interruptAfterTimeLimit: SECONDS * 1000 });
  // Without a counterexample the time was over, and no case failed.
  if (timed.counterexample !== null) throw new Error(await fc.asyncDefaultReportMessage(timed));
}

/** Text like this, with some bytes changed, left out or put in, in `most` places; latin1, so a character is a byte. */
export function mangled(text: fc.Arbitrary<string>, odd: fc.Arbitrary<string>, most = 4): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat({ max: 3 }), odd);
  return fc.tuple(text, fc.array(edit, { maxLength: most })).map(([plain, edits]) =>
    edits.reduce((now, [where, length, put]) => {
      const at = Math.floor(where * now.length);
      return now.slice(0, at) + put + now.slice(at + length);
    }, plain),
  );
}

/** Any bytes, as latin1 text. */
export const anyBytes: fc.Arbitrary<string> = fc
  .uint8Array({ maxLength: 8 })
  .map((bytes) => Buffer.from(bytes).toString("latin1"));

/** HTTP messages of these parts: a first line, `always`, at most `most` of the fields, a body. */
export function messagesOf(
  line: fc.Arbitrary<string>,
  fields: { always: string[]; field: fc.Arbitrary<string>; most: number },
  body: fc.Arbitrary<string>,
): fc.Arbitrary<string> {
  return fc
    .tuple(line, fc.array(fields.field, { maxLength: fields.most }), body)
    .map(([first, some, rest]) => [first, ...fields.always, ...some, "", rest].join("\r\n"));
}

/** What HTTP is framed with, and any bytes: for `mangled`. */
export function oddBytes(...more: string[]): fc.Arbitrary<string> {
  const known = ["\r\n", "\n", "\r", " ", ":", "\0", "\t", "\r\n\r\n", ",", "0", "-1", ";"];
  return fc.oneof(anyBytes, fc.constantFrom(...known, ...more));
}

/** Writes each piece in its own turn of the event loop, on a socket without delay, so that it arrives alone. */
export async function sendPieces(socket: Socket, pieces: Buffer[]): Promise<void> {
  for (const piece of pieces) await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
}

/** Cuts bytes into pieces at these places, given as shares of the whole. */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [...new Set(places.map((place) => Math.floor(place * bytes.length)))].toSorted((a, b) => a - b);
  const ends = [...cuts, bytes.length];
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end)).filter((piece) => piece.length > 0);
}

/** Where bytes are cut: for `cutAt`. */
export const places: fc.Arbitrary<number[]> = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  maxLength: 6,
});
