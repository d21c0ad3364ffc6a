// When something happened. The one way to make a date that is shown later: used by the rooms that remember moments.

/**
 * A moment by both clocks: `ms` of the monotonic one for differences, `date` for people. Neither is ever calculated from
 * the other: a step of the clock, or a suspended machine, comes between them.
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
