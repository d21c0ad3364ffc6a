interface Sample {
  at: number;
  value: number;
}
export function slopeOf(samples: Sample[]): number;
export function floorsOf(samples: Sample[], inARow: number): Sample[];
export function afterWarmUp<T>(samples: T[], share?: number): T[];
