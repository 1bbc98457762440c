// What the page of `node-kvm heat --html` holds as JSON: written by heat-page.ts, read by script.ts in a browser. Types alone.

/** Addresses and sizes in bytes, times in milliseconds since the guest's start. */
export interface HeatPageData {
  readonly pageBytes: number;
  readonly cellBytes: number;
  /** The time between two harvests that was asked for. */
  readonly everyMs: number;
  /** Memory without holes, ascending. Cells are numbered through: a stretch has ceil(size / cellBytes) of them. */
  readonly stretches: readonly { readonly guestAddr: number; readonly size: number }[];
  /** Addresses at which one region ends and another one begins without a hole. */
  readonly boundaries: readonly number[];
  readonly intervals: readonly HeatPageInterval[];
}

export interface HeatPageInterval {
  readonly beginMs: number;
  readonly endMs: number;
  /** How many harvests were added up; a page counts once in each. */
  readonly harvests: number;
  readonly pages: number;
  /** Cells that have dirty pages: pairs of how many cells were skipped since the last one, and the number of pages. */
  readonly cells: readonly number[];
}
