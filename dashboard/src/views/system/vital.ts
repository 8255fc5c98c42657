/** A vital: one thing that must be well so that nothing is lost and all is seen; how it stands, and what to do. */

/** `quiet` is neither well nor not: there is nothing to judge. */
export type Standing = "well" | "quiet" | "warn" | "bad";

/** A share of something that ends: how full it is, and where it becomes serious. */
export interface Share {
  /** From 0 to 1. */
  part: number;
  /** Where the bound lies on the same scale; null where it is the end. */
  bound: number | null;
  /** In words, for who does not see it. */
  words: string;
}

/** See above. */
export interface Vital {
  name: string;
  standing: Standing;
  /** What counts, in a figure or a word. */
  figure: string;
  /** Other figures. */
  details: [name: string, figure: string][];
  /** What it is. */
  meaning: string;
  /** What to do; null where nothing is to be done. */
  advice: string | null;
  share: Share | null;
}

/** A vital that is well, unless told otherwise. */
export function vital(given: Pick<Vital, "name" | "figure" | "meaning"> & Partial<Vital>): Vital {
  return { standing: "well", details: [], advice: null, share: null, ...given };
}

/** Those that are not well, the worst first. */
export function unwell(vitals: Vital[]): Vital[] {
  const bad = vitals.filter(({ standing }) => standing === "bad");
  return [...bad, ...vitals.filter(({ standing }) => standing === "warn")];
}
