// How figures of the lab are written, on the terminal and in pages: values with their units, intervals, parameters. Main thread; pure.

import type { Estimate, Interval, Latency, LitmusRow, Row, Unit } from '../lab/report.ts';
import { showSize } from './values.ts';

export const UNITS: Readonly<Record<Unit, string>> = {
  'GB/s': 'GB/s',
  ns: 'ns',
  us: 'µs',
  'Mops/s': 'Mops/s',
  'pages/s': 'pages/s',
};

/** Three digits that count, whole numbers from 100 on: `0.0123`, `1.23`, `12.3`, `1,234`. */
export function figure(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value === 0 ? '0' : value.toPrecision(3);
}

/** `0.97`. Ratios need two decimals, large ones none. */
export const ratioText = (value: number) => (Math.abs(value) >= 100 ? figure(value) : value.toFixed(2));

/** `1.1 to 1.3` */
export function intervalText({ low, high }: Interval, show: (value: number) => string = figure): string {
  return `${show(low)} to ${show(high)}`;
}

export const percent = (share: number) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/** `250 ns`, `1.5 µs`, `12 ms`. */
export function timeText(ns: number): string {
  for (const [unit, size] of [
    ['s', 1e9],
    ['ms', 1e6],
    ['µs', 1e3],
  ] as const) {
    if (ns >= size) return `${figure(ns / size)} ${unit}`;
  }
  return `${figure(ns)} ns`;
}

/** `8 s`, `2:05 min` */
export function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`;
}

/** A parameter's value: sizes in binary units, the rest as it is. */
export function parameterText(name: string, value: string | number): string {
  if (typeof value === 'string') return value;
  return isSize(name) ? showSize(value) : value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}

/** Parameters of this name are bytes. */
export const isSize = (name: string) => /bytes$|^(size|stride|spacing)$/i.test(name);

/** `32 MiB, stride 64 bytes, writes 50 %`: of a size that is called just that the name says nothing; '' without parameters. */
export function parametersText(parameters: Row['parameters']): string {
  return Object.entries(parameters)
    .map(([name, value]) => {
      const text = parameterText(name, value);
      if (name === 'bytes' || name === 'size') return text;
      return name.endsWith(' %') ? `${name.slice(0, -2)} ${text} %` : `${name} ${text}`;
    })
    .join(', ');
}

/** An estimate and its interval: `12.3 (12.1 to 12.6)`. */
export function estimateText({ median, interval }: Estimate, show: (value: number) => string = figure): string {
  return `${show(median)} (${intervalText(interval, show)})`;
}

/** Whether an interval of ratios lies on one side of 1, and on which. */
export function sideOfOne({ interval }: Estimate, better: Row['better']): 'faster' | 'slower' | undefined {
  if (interval.low > 1) return better === 'higher' ? 'faster' : 'slower';
  if (interval.high < 1) return better === 'higher' ? 'slower' : 'faster';
  return undefined;
}

/** Percentiles of latencies, and how many samples it takes that a percentile is more than the longest of them. */
const PERCENTILES: readonly (readonly [name: string, samples: number, (latency: Latency) => number])[] = [
  ['p50', 2, latency => latency.p50],
  ['p90', 20, latency => latency.p90],
  ['p99', 200, latency => latency.p99],
  ['p99.9', 2000, latency => latency.p999],
  ['max', 1, latency => latency.max],
];

export const PERCENTILE_NAMES = PERCENTILES.map(([name]) => name);

/** In the order of their names; '–' for what so few samples cannot tell. */
export function percentileTexts(latency: Latency): string[] {
  return PERCENTILES.map(([, samples, pick]) => (latency.count < samples ? '–' : timeText(pick(latency))));
}

/** What the outcome that a litmus test is about came to, in words. */
export interface TargetFinding {
  /** 'failed': a forbidden outcome was seen (the target or another one). */
  readonly kind: 'failed' | 'forbidden' | 'seen' | 'unseen';
  readonly text: string;
  /** For a cell whose colour and mark say the kind. */
  readonly short: string;
}

export function targetFinding(row: LitmusRow): TargetFinding {
  const target = row.outcomes.find(({ isTarget }) => isTarget);
  if (row.failed) {
    const seen = row.outcomes.filter(({ allowed, count }) => !allowed && count > 0);
    const short = seen.map(({ text, count }) => `${text} (${count.toLocaleString('en-US')} times)`).join('; ');
    return { kind: 'failed', text: `FORBIDDEN, yet seen: ${short}`, short };
  }
  if (target === undefined || !target.allowed)
    return { kind: 'forbidden', text: 'forbidden, never seen', short: 'never' };
  if (target.count === 0) return { kind: 'unseen', text: 'allowed, not seen', short: 'not seen' };
  const share = perMillion(target.count, row.iterations);
  return { kind: 'seen', text: `allowed, seen ${share}`, short: share };
}

function perMillion(count: number, iterations: number): string {
  return iterations > 0 ? `${figure((1e6 * count) / iterations)} per million` : figure(count);
}
