// Reads what a process and its children use, from the kernel (Linux); and medians.

import { readdirSync, readFileSync } from "node:fs";

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

/** A process and all that descend from it. @param {number} pid */
function family(pid) {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = /\) \S (\d+) /.exec(read(`/proc/${name}/stat`) ?? "")?.[1];
    if (parent === undefined) continue;
    const known = children.get(Number(parent)) ?? [];
    known.push(Number(name));
    children.set(Number(parent), known);
  }
  const all = [pid];
  for (const one of all) all.push(...(children.get(one) ?? []));
  return all;
}

/** Ticks of /proc/PID/stat in microseconds. */
const TICK_US = 10_000;

/**
 * Microseconds on a processor so far, user and system, of a process with its threads and children. By the scheduler's
 * own count where there is one: it is exact, where the ticks of `stat` are 10 ms.
 *
 * @param {number} pid
 */
export function cpuMicros(pid) {
  let sum = 0;
  for (const one of family(pid)) {
    for (const task of listed(`/proc/${one}/task`)) {
      const exact = read(`/proc/${one}/task/${task}/schedstat`);
      if (exact !== undefined) {
        sum += Number(exact.split(" ")[0]) / 1000;
        continue;
      }
      const fields = (read(`/proc/${one}/task/${task}/stat`) ?? "").split(") ")[1]?.split(" ") ?? [];
      sum += (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_US;
    }
  }
  return sum;
}

/** @param {string} path */
function listed(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Resident bytes of a process and its children. @param {number} pid */
export function residentBytes(pid) {
  let kilobytes = 0;
  for (const one of family(pid)) {
    kilobytes += Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${one}/status`) ?? "")?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

/** @param {number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? 0;
  const high = sorted[Math.ceil(at)] ?? low;
  return low + (high - low) * (at - Math.floor(at));
}

/** @param {number[]} values */
export function median(values) {
  return quantile(values, 0.5);
}

/** With fewer connections in TIME_WAIT than this, their end is not seen in what others cost. */
const FEW_CLOSED = 2000;
/** The kernel keeps TIME_WAIT for a minute. */
const CLOSED_MS = 90_000;

/**
 * Resolves when the kernel has forgotten most closed connections. It does that a minute after they were closed, within
 * whatever process runs then: thousands a second were up to twice the cost of a new connection.
 */
export async function closedForgotten() {
  const deadline = performance.now() + CLOSED_MS;
  while (performance.now() < deadline) {
    if (Number(/^TCP: .* tw (\d+)/m.exec(read("/proc/net/sockstat") ?? "")?.[1] ?? 0) < FEW_CLOSED) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
