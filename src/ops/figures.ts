// Formats numbers for people: durations, bytes, small charts of characters. Used by `single-port status`; pure.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** At most two units: `340ms`, `12s`, `3m 04s`, `2h 15m`, `4d 3h`. */
export function age(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.floor(ms))}ms`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)}s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}m ${two((ms % MINUTE) / SECOND)}s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)}h ${two((ms % HOUR) / MINUTE)}m`;
  return `${Math.floor(ms / DAY)}d ${Math.floor((ms % DAY) / HOUR)}h`;
}

function two(value: number): string {
  return String(Math.floor(value)).padStart(2, "0");
}

/** `512 B`, `1.2 kB`, `340 MB`: three digits, in thousands. */
export function bytes(count: number): string {
  let value = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 999.5) return `${unit === "B" || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

/** A round-trip time: `0.4ms`, `12ms`. */
export function rtt(ms: number | undefined): string {
  if (ms === undefined) return "-";
  return ms < 10 ? `${ms.toFixed(1)}ms` : age(ms);
}

const BARS = "▁▂▃▄▅▆▇█";

/** A line of bars: the latest value at the right, the highest as a full bar. */
export function bars(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const top = Math.max(...shown, 1);
  const line = shown.map((value) => (value <= 0 ? " " : BARS[Math.ceil((value / top) * BARS.length) - 1])).join("");
  return line.padStart(width);
}

/** Pads or cuts a text to a width; a cut text ends with `…`. */
export function fit(text: string, width: number): string {
  return text.length <= width ? text.padEnd(width) : `${text.slice(0, Math.max(0, width - 1))}…`;
}
