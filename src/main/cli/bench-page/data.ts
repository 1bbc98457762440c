// What the page of `node-kvm bench --html` holds as JSON: charts, ready to be drawn. Written by bench-charts.ts, read by script.ts in a
// browser. Types alone.

/** How numbers on an axis are written. */
export type Quantity = 'count' | 'bytes' | 'ns' | 'share' | 'number';

export interface Axis {
  readonly label: string;
  readonly quantity: Quantity;
  readonly isLog: boolean;
}

export interface Curve {
  readonly name: string;
  /** Index into the page's colours: 0 js, 1 wasm, 2 guest, 3 C, from 4 on mixes and whatever else. */
  readonly colour: number;
  /** A baseline, beside what is measured. */
  readonly isDashed: boolean;
  /** Ascending by x. */
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Confidence interval of each point. */
  readonly whiskers?: readonly (readonly [low: number, high: number])[];
}

export interface Chart {
  /** Of the element that it is drawn into. */
  readonly id: string;
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** 'steps': a point's value holds from the point before it up to its own x. */
  readonly shape: 'lines' | 'steps';
  readonly curves: readonly Curve[];
}

export interface BenchPageData {
  readonly charts: readonly Chart[];
}
