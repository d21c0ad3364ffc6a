// Reads the text of /metrics.

/** The value of each series, by name and labels as they are written: `x_total{a="b"}`. */
export function parseMetrics(text: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([^#\s][^\s{]*(?:\{.*\})?) (\S+)$/.exec(line);
    if (match?.[1] !== undefined) series.set(match[1], Number(match[2]));
  }
  return series;
}

/** The sum of all series of a name. */
export function sumOf(series: Map<string, number>, name: string): number {
  let sum = 0;
  for (const [key, value] of series) if (key === name || key.startsWith(`${name}{`)) sum += value;
  return sum;
}
