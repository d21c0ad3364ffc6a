import { expect, test } from "vitest";
import { proofOf, type Evidence } from "../../src/exchange/proof.ts";
import { MAX_ONCE_BYTES, ONE_READ_BYTES, onceBytesTo } from "../../src/upstream/once.ts";

const flags = ["whole", "unwritten", "resetBehindFin", "responded"] as const;
/** What proves something, as the flags that are set; whatever else may be the case proves nothing. */
const TABLE: Record<string, "unsent" | "unread"> = {
  unwritten: "unsent",
  "unwritten resetBehindFin": "unsent",
  "whole resetBehindFin": "unread",
  // Cannot be, and is safe.
  "whole unwritten": "unsent",
  "whole unwritten resetBehindFin": "unsent",
};

const combinations = Array.from({ length: 2 ** flags.length }, (_, bits) =>
  flags.filter((_flag, i) => bits & (1 << i)),
);

test.each(combinations)("what is known: %s %s %s %s", (...known) => {
  const evidence = (bytes: number): Evidence => ({
    bytes,
    whole: known.includes("whole"),
    unwritten: known.includes("unwritten"),
    resetBehindFin: known.includes("resetBehindFin"),
    responded: known.includes("responded"),
  });
  const name = known.filter((flag) => flag !== undefined).join(" ");
  for (const bytes of [1, ONE_READ_BYTES]) expect(proofOf(evidence(bytes))).toBe(TABLE[name]);
  // Of a longer one, a server may have acted on the first part, and have closed with the rest unread.
  const long = TABLE[name] === "unread" ? undefined : TABLE[name];
  for (const bytes of [ONE_READ_BYTES + 1, MAX_ONCE_BYTES]) expect(proofOf(evidence(bytes))).toBe(long);
});

test.each([
  ["127.0.0.1", MAX_ONCE_BYTES],
  ["127.8.4.2", MAX_ONCE_BYTES],
  ["::1", MAX_ONCE_BYTES],
  ["::ffff:127.0.0.1", MAX_ONCE_BYTES],
  ["10.0.0.1", ONE_READ_BYTES],
  ["192.0.2.127", ONE_READ_BYTES],
  ["::1:2", ONE_READ_BYTES],
  ["fe80::1", ONE_READ_BYTES],
  ["::ffff:10.0.0.1", ONE_READ_BYTES],
  [undefined, 0],
])("to %s go at most %i bytes that may be sent only once", (address, bytes) => {
  expect(onceBytesTo(address)).toBe(bytes);
});
