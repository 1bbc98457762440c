// A value over time in few points: neighbours are averaged when there are too many. Pure; main thread.

import type { Series } from '../report.ts';

const POINTS_MAX = 1024;

/** Collects one value per step; `series` has at most 1024 points, each the mean of equally many steps. */
export class TimeSeries {
  readonly #name: string;
  readonly #unit: string;
  readonly #startNs = process.hrtime.bigint();
  #points: (readonly [number, number])[] = [];
  /** Steps in a point; and those that wait for theirs to be full. */
  #width = 1;
  #waiting: (readonly [number, number])[] = [];

  constructor(name: string, unit: string) {
    this.#name = name;
    this.#unit = unit;
  }

  /** The value now. */
  add(value: number): void {
    this.#waiting.push([Number(process.hrtime.bigint() - this.#startNs) / 1e9, value]);
    if (this.#waiting.length < this.#width) return;
    this.#points.push(mean(this.#waiting));
    this.#waiting = [];
    if (this.#points.length < POINTS_MAX) return;
    const pairs = this.#points;
    this.#points = [];
    for (let i = 0; i + 1 < pairs.length; i += 2) this.#points.push(mean(pairs.slice(i, i + 2)));
    this.#width *= 2;
  }

  get series(): Series {
    return { name: this.#name, unit: this.#unit, points: [...this.#points] };
  }
}

function mean(points: readonly (readonly [number, number])[]): readonly [number, number] {
  const of = (index: 0 | 1) => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  return [of(0), of(1)];
}
