// When something happened, by the monotonic clock and as a date. Used wherever a time is kept to be shown later.

/**
 * A moment by both clocks: `ms` (monotonic) for differences, `date` (wall clock) to be shown. Never calculate one from
 * the other: the wall clock may be set, and the monotonic clock stops while the machine is suspended.
 */
export interface Moment {
  readonly ms: number;
  /** ISO 8601. */
  readonly date: string;
}

/** This moment. */
export function thisMoment(): Moment {
  return { ms: performance.now(), date: new Date().toISOString() };
}
