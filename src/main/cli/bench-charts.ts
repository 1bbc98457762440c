// Which charts a report has: scaling curves, curves over a parameter, latency histograms and tails, values over time. Rows in, charts as
// data out; script.ts draws them in a browser. Main thread; pure.

import type { Estimate, Latency, Row } from '../lab/report.ts';
import type { Axis, Chart, Curve } from './bench-page/data.ts';
import { isSize, parametersText, UNITS } from './bench-text.ts';

const COLOUR_OF: Readonly<Record<string, number>> = { js: 0, wasm: 1, guest: 2, c: 3 };
const OTHER_COLOURS = [4, 5, 6, 7, 2, 1, 0, 3];
/** A curve over a parameter says something from so many values on. */
const PARAMETER_VALUES_MIN = 3;
/** A distribution of fewer samples has no shape. */
const SAMPLES_MIN = 100;
/** More curves than that are not told apart in a chart. */
const CURVES_MAX = 8;
/** Axes are logarithmic from such a ratio of largest to smallest on. */
const LOG_FROM = 20;
/** Bars of a histogram: so many per power of ten, or fewer where the samples were counted more coarsely. */
const BARS_PER_DECADE = 8;

/** `js:2` → `js`, `guest:2+js:2` → `guest+js`; a mix of unequal numbers is a kind of its own. */
function kindsOf({ actors }: Row): string {
  const numbers = new Set(actors.split('+').map(part => part.split(':')[1]));
  return numbers.size > 1 ? actors : actors.replace(/:\d+/g, '');
}

/** All charts of one workload's rows, in the order to be shown. `idPrefix` begins their ids. */
export function chartsOf(rows: readonly Row[], idPrefix: string): Chart[] {
  const charts = [...scalingCharts(rows), ...parameterCharts(rows), ...latencyCharts(rows), ...timeCharts(rows)];
  return charts.map((chart, index) => ({ ...chart, id: `${idPrefix}-${index}` }));
}

type Draft = Omit<Chart, 'id'>;

/** Value by number of actors, a chart for each choice of numeric parameters in which some kind was measured with several numbers. */
function scalingCharts(rows: readonly Row[]): Draft[] {
  return grouped(rows, numbersText).flatMap(([parameters, group]) => {
    const scales = groupBy(group, curveKey).some(([, members]) => new Set(members.map(({ count }) => count)).size > 1);
    if (!scales) return [];
    const title = titleOf(group, ['by number of actors', parameters]);
    return [valueChart({ title, x: COUNT_AXIS, rows: group, xOf: ({ count }) => count })];
  });
}

/** Value by each numeric parameter that was swept, with the other ones and the number of actors fixed. */
function parameterCharts(rows: readonly Row[]): Draft[] {
  const names = new Set(rows.flatMap(({ parameters }) => Object.keys(parameters)));
  return [...names].flatMap(name => {
    const numberOf = (row: Row) => {
      const value = row.parameters[name];
      return typeof value === 'number' ? value : undefined;
    };
    const numeric = rows.filter(row => numberOf(row) !== undefined);
    const fixed = (row: Row) => [actorsText(row.count), numbersText(row, name)].filter(Boolean).join(', ');
    return grouped(numeric, fixed).flatMap(([others, group]) => {
      const values = [...new Set(group.map(row => numberOf(row) ?? 0))];
      if (values.length < PARAMETER_VALUES_MIN) return [];
      const x: Axis = { label: name, quantity: isSize(name) ? 'bytes' : 'number', isLog: isWide(values) };
      const title = titleOf(group, [`by ${name}`, others]);
      return [valueChart({ title, x, rows: group, xOf: row => numberOf(row) ?? 0 })];
    });
  });
}

const COUNT_AXIS: Axis = { label: 'actors', quantity: 'count', isLog: false };
const actorsText = (count: number) => `${count} actor${count === 1 ? '' : 's'}`;

/** Numeric parameters, without the one that is the axis. */
function numbersText({ parameters }: Row, axis?: string): string {
  const entries = Object.entries(parameters).filter(([name, value]) => typeof value === 'number' && name !== axis);
  return parametersText(Object.fromEntries(entries));
}

/** Parameters that are words: they are told apart within a chart, not by a chart each. */
function wordsText({ parameters }: Row, isTold: (name: string) => boolean = () => true): string {
  const entries = Object.entries(parameters).filter(([name, value]) => typeof value === 'string' && isTold(name));
  return parametersText(Object.fromEntries(entries));
}

/** Puts to a curve's name the words that are not the same in all rows of its chart. */
function labeller(rows: readonly Row[]): (name: string, row: Row | undefined) => string {
  const told = varying(rows);
  return (name, row) =>
    row === undefined ? name : [name, wordsText(row, parameter => told.includes(parameter))].filter(Boolean).join(', ');
}

/** The parameters that are not the same in all rows. */
export function varying(rows: readonly Row[]): string[] {
  const names = new Set(rows.flatMap(({ parameters }) => Object.keys(parameters)));
  return [...names].filter(name => new Set(rows.map(({ parameters }) => parameters[name])).size > 1);
}

/** What is a curve of its own: the kinds of actors, and words. */
const curveKey = (row: Row) => [kindsOf(row), wordsText(row)].filter(Boolean).join(', ');

/** By what is fixed in a chart; where that leaves too many curves, by words as well. */
function grouped(rows: readonly Row[], fixedOf: (row: Row) => string, curveOf = curveKey): [string, Row[]][] {
  return groupBy(rows, row => fixedOf(row)).flatMap(([fixed, group]): [string, Row[]][] => {
    if (new Set(group.map(curveOf)).size <= CURVES_MAX) return [[fixed, group]];
    return groupBy(group, row => [fixed, wordsText(row)].filter(Boolean).join(', '));
  });
}

function titleOf(rows: readonly Row[], parts: readonly string[]): string {
  return [rows[0]?.workload ?? '', ...parts.filter(part => part !== '')].join(', ');
}

function valueChart(of: {
  readonly title: string;
  readonly x: Axis;
  readonly rows: readonly Row[];
  readonly xOf: (row: Row) => number;
}): Draft {
  const { title, x, rows, xOf } = of;
  const unit = rows[0]?.unit ?? 'ns';
  const isLog = isWide(rows.map(({ value }) => value.median));
  const used = new Set<number>();
  const byWords = groupBy(rows, row => wordsText(row)).map(([, members]) => members);
  const named = labeller(rows);
  const curves = groupBy(rows, curveKey).map(([, members]) => {
    const kinds = members.map(kindsOf)[0] ?? '';
    return estimateCurve(named(kinds, members[0]), colourFor(kinds, used), members, xOf, ({ value }) => value);
  });
  for (const peer of new Set(rows.flatMap(row => Object.keys(row.peers ?? {}))))
    for (const members of byWords) {
      const colour = colourFor(peer, used);
      curves.push(estimateCurve(named(peer, members[0]), colour, members, xOf, row => row.peers?.[peer], true));
    }
  // Where C threads are measured as actors of their own, their curve is there already.
  if (!rows.some(row => kindsOf(row) === 'c'))
    for (const members of byWords) {
      if (members.every(({ baseline }) => baseline === undefined)) continue;
      const colour = colourFor('c', used);
      curves.push(estimateCurve(named('C baseline', members[0]), colour, members, xOf, row => row.baseline, true));
    }
  const y: Axis = { label: UNITS[unit], quantity: unit === 'ns' ? 'ns' : 'number', isLog };
  return { title, x, y, shape: 'lines', curves: curves.filter(({ points }) => points.length > 0) };
}

/** Values that a linear axis would press into a corner. */
function isWide(values: readonly number[]): boolean {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low > 0 && high >= LOG_FROM * low;
}

/** A kind's own colour once; then those that are left, other kinds' last. */
function colourFor(name: string, used: Set<number>): number {
  const own = COLOUR_OF[name.replace(/:\d+.*$/, '')];
  const free = OTHER_COLOURS.find(colour => !used.has(colour)) ?? used.size;
  const colour = own !== undefined && !used.has(own) ? own : free;
  used.add(colour);
  return colour;
}

/** The first estimate at each x: baselines and peers come with several rows of one x. */
function estimateCurve(
  name: string,
  colour: number,
  rows: readonly Row[],
  xOf: (row: Row) => number,
  estimateOf: (row: Row) => Estimate | undefined,
  isDashed = false,
): Curve {
  const byX = new Map<number, Estimate>();
  for (const row of rows) {
    const estimate = estimateOf(row);
    if (estimate !== undefined && !byX.has(xOf(row))) byX.set(xOf(row), estimate);
  }
  const sorted = [...byX].sort(([a], [b]) => a - b);
  return {
    name,
    colour,
    isDashed,
    points: sorted.map(([x, { median }]) => [x, median] as const),
    whiskers: sorted.map(([, { interval }]) => [interval.low, interval.high] as const),
  };
}

const LATENCY_AXIS: Axis = { label: 'latency', quantity: 'ns', isLog: true };

/** A histogram, and the share of samples that took longer. */
function latencyCharts(rows: readonly Row[]): Draft[] {
  const measured = rows.filter(({ latency }) => latency !== undefined && latency.count >= SAMPLES_MIN);
  return grouped(measured, numbersText, rowKey).flatMap(([parameters, group]) => {
    const curvesOf = (pointsOf: (latency: Latency) => [number, number][]): Curve[] => {
      const used = new Set<number>();
      const named = labeller(group);
      return group.flatMap(row =>
        row.latency === undefined
          ? []
          : [
              {
                name: named(row.actors, row),
                colour: colourFor(row.actors, used),
                isDashed: false,
                points: pointsOf(row.latency),
              },
            ],
      );
    };
    return [
      {
        title: titleOf(group, ['how many samples took how long', parameters]),
        x: LATENCY_AXIS,
        y: { label: 'share of samples', quantity: 'share', isLog: false },
        shape: 'steps',
        curves: curvesOf(bars),
      },
      {
        title: titleOf(group, ['samples that took longer', parameters]),
        x: LATENCY_AXIS,
        y: { label: 'share that took longer', quantity: 'share', isLog: true },
        shape: 'lines',
        curves: curvesOf(tail),
      },
    ];
  });
}

/** A row among those with the same numeric parameters. */
const rowKey = (row: Row) => [row.actors, wordsText(row)].filter(Boolean).join(', ');

/** Share of the samples in each bar: [the bar's upper bound, share], empty ones between included, and an empty one at each end. */
export function bars({ histogram, count }: Latency): [number, number][] {
  // Not finer than the samples were counted: empty bars between full ones would look like gaps in what was measured.
  const ratios = histogram.slice(1).map(([upper], index) => upper / (histogram[index]?.[0] ?? upper));
  const factor = Math.max(10 ** (1 / BARS_PER_DECADE), ratios.length > 0 ? Math.min(...ratios) : 1);
  const shares = new Map<number, number>();
  for (const [upper, samples] of histogram) {
    // A hair less, so that a bound that is a bar's own bound stays in that bar in spite of rounding.
    const bar = Math.ceil(Math.log(Math.max(upper, 1)) / Math.log(factor) - 1e-9);
    shares.set(bar, (shares.get(bar) ?? 0) + samples / count);
  }
  const used = [...shares.keys()];
  const first = Math.min(...used) - 1;
  const last = Math.max(...used) + 1;
  return Array.from({ length: last - first + 1 }, (_, index) => [
    Number((factor ** (first + index)).toPrecision(6)),
    shares.get(first + index) ?? 0,
  ]);
}

/** [latency, share of samples above it]; ends before the share is 0, which a logarithmic axis does not have. */
export function tail({ histogram, count }: Latency): [number, number][] {
  const points: [number, number][] = [];
  let left = count;
  for (const [upper, samples] of histogram) {
    left -= samples;
    // The axis is logarithmic.
    if (left > 0) points.push([Math.max(upper, 1), left / count]);
  }
  return points;
}

/** A chart for each name of values over time and each choice of numeric parameters, with a curve for each row. */
function timeCharts(rows: readonly Row[]): Draft[] {
  const names = [...new Set(rows.flatMap(({ series = [] }) => series.map(({ name }) => name)))];
  return names.flatMap(name => {
    const seriesOf = ({ series = [] }: Row) => series.find(each => each.name === name && each.points.length > 0);
    const having = rows.filter(row => seriesOf(row) !== undefined);
    return grouped(having, numbersText, rowKey).map(([parameters, group]) => {
      const used = new Set<number>();
      const named = labeller(group);
      const values = group.flatMap(row => seriesOf(row)?.points.map(([, value]) => value) ?? []);
      const unit = group.map(row => seriesOf(row)?.unit).find(text => text !== undefined) ?? '';
      return {
        title: titleOf(group, [`${name} over time`, parameters]),
        x: { label: 'seconds', quantity: 'number', isLog: false } as const,
        y: { label: unit, quantity: 'number', isLog: isWide(values) } as const,
        shape: 'lines' as const,
        curves: group.map(row => ({
          name: named(row.actors, row),
          colour: colourFor(row.actors, used),
          isDashed: false,
          points: seriesOf(row)?.points ?? [],
        })),
      };
    });
  });
}

/** In the order of first appearance. */
export function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): [string, Item[]][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups];
}
