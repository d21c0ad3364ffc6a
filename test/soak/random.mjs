// Random numbers that can be had again: the same seed makes the same faults in the same order.

/** A generator of numbers from 0 to 1 (mulberry32). @param {number} seed */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Picks one by weight. @template T @param {readonly { weight: number; value: T }[]} all @param {number} random */
export function pick(all, random) {
  let at = random * all.reduce((sum, { weight }) => sum + weight, 0);
  for (const { weight, value } of all) {
    at -= weight;
    if (at < 0) return value;
  }
  return all[all.length - 1].value;
}
