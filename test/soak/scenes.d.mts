/** One moment of the fault table, as far as it is compared with it. */
export interface Scene {
  moment: string;
  status: Record<string, Record<string, number | null>>;
  done?: boolean;
}
export const SCENES: Scene[];
