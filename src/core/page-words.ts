// Browser code that formats times and durations, shared by the live page, the error page and the demo page.
// One string of plain JavaScript that is put in front of each page's script.

/** Declares `clock(time)` and `age(ms)`: `340 ms`, `12 s`, `3 min 04 s`, `2 h 15 min`, `4 d 3 h`. */
export const PAGE_WORDS: string = String.raw`const two = (n) => String(Math.floor(n)).padStart(2, "0");
const age = (ms) => {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + two(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + two((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
};
const clock = (time) => new Date(time).toLocaleTimeString();
`;
