// Is a series of measurements flat? Looked at as a line through all of them, never as two points.

/**
 * The slope of the line with the least squares, in units per second. @param {{ at: number; value: number }[]} samples
 */
export function slopeOf(samples) {
  const n = samples.length;
  if (n < 2) return 0;
  const meanAt = samples.reduce((sum, { at }) => sum + at, 0) / n;
  const meanValue = samples.reduce((sum, { value }) => sum + value, 0) / n;
  let over = 0;
  let under = 0;
  for (const { at, value } of samples) {
    over += (at - meanAt) * (value - meanValue);
    under += (at - meanAt) ** 2;
  }
  return under === 0 ? 0 : over / under;
}

/** The smallest of each so many samples in a row: what is left after a collection of garbage. */
export function floorsOf(samples, inARow) {
  const floors = [];
  for (let i = 0; i + inARow <= samples.length; i += inARow) {
    floors.push(samples.slice(i, i + inARow).reduce((low, one) => (one.value < low.value ? one : low)));
  }
  return floors;
}

/** The first part is warming up: pools, compiled code and the heap find their size. */
export function afterWarmUp(samples, share = 0.3) {
  return samples.slice(Math.floor(samples.length * share));
}
