// Axes of the lab's charts: which range they show, where their marks are, how numbers on them are written. Pure; runs in browsers and in
// tests.

import { showBytes } from '../heat-page/scales.ts';
import type { Quantity } from './data.ts';

const TIMES = [
  ['s', 1e9],
  ['ms', 1e6],
  ['µs', 1e3],
  ['ns', 1],
] as const;
/** From which value on, in which unit: four digits are still read at a glance. */
const LARGE = [
  ['G', 1e9, 1e9],
  ['M', 1e6, 1e6],
  ['k', 1e4, 1e3],
] as const;

/** A number as an axis has it, as short as it can be; `isExact`: as a legend has it, with three digits that count. */
export function axisText(value: number, quantity: Quantity, isExact = false): string {
  const digits = (number: number) => String(Number(number.toPrecision(isExact ? 4 : 3)));
  switch (quantity) {
    case 'count':
      return String(Math.round(value));
    case 'bytes':
      return showBytes(value);
    case 'ns': {
      const [unit, size] = TIMES.find(([, least]) => Math.abs(value) >= least) ?? ['ns', 1];
      return `${digits(value / size)} ${unit}`;
    }
    case 'share':
      return `${digits(100 * value)} %`;
    case 'number': {
      const [unit, , size] = LARGE.find(([, least]) => Math.abs(value) >= least) ?? ['', 0, 1];
      return `${digits(value / size)}${unit}`;
    }
  }
}

/** What an axis shows of values: all of them, with a little room; values from zero on, unless the axis is logarithmic. */
export function rangeOf(
  values: readonly number[],
  of: { readonly isLog: boolean; readonly fromZero: boolean; readonly isCount: boolean },
): [number, number] {
  const finite = values.filter(value => Number.isFinite(value) && (!of.isLog || value > 0));
  if (finite.length === 0) return of.isLog ? [1, 10] : [0, 1];
  const low = finite.reduce((least, value) => Math.min(least, value));
  const high = finite.reduce((most, value) => Math.max(most, value));
  if (of.isCount) return [low - 0.5, high + 0.5];
  if (of.isLog) return [low / 1.15, high * 1.15];
  if (of.fromZero) return [Math.min(0, low * 1.05), high > 0 ? high * 1.08 : 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Marks of a logarithmic axis: powers of ten (of two for bytes), so far apart that there are about `wanted`; finer ones in a short range. */
export function logSplits(wanted: number, quantity: Quantity): (low: number, high: number) => number[] {
  const base = quantity === 'bytes' ? 2 : 10;
  return (low, high) => {
    const from = Math.ceil(Math.log(low) / Math.log(base) - 1e-9);
    const to = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
    const step = Math.max(1, Math.ceil((to - from + 1) / wanted));
    const powers = Array.from({ length: Math.max(0, Math.floor((to - from) / step) + 1) }, (_, index) =>
      power(base, from + index * step),
    );
    if (base === 2 || to - from >= 2) return powers;
    const marks = (factors: readonly number[]) =>
      Array.from({ length: to - from + 2 }, (_, index) => power(10, from - 1 + index))
        .flatMap(one => factors.map(factor => Number((factor * one).toPrecision(12))))
        .filter(value => value >= low && value <= high);
    const [all, some] = [marks([1, 2, 5]), marks([1, 3])];
    return all.length <= wanted ? all : some;
  };
}

/** 10 ** -5 is not the number that is written 0.00001. */
const power = (base: number, exponent: number) => (base === 10 ? Number(`1e${exponent}`) : base ** exponent);
