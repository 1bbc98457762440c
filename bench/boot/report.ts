// The results of boots as text: every time, medians, and ratios within pairs. Pure.

import { max, median, min } from 'simple-statistics';
import { table } from 'table';
import type { Boot } from './machines.ts';

/** One boot by each side, one directly after the other. */
export interface Pair {
  readonly ours: Boot;
  readonly theirs: Boot;
  /** Not compared with anything. */
  readonly here: Boot;
}

export interface Result {
  readonly vcpus: number;
  readonly pairs: readonly Pair[];
}

/** Node-kvm's boot takes at most as long as QEMU's. */
const GOAL = 1.0;

const MARKS = ['create', 'load', 'firstInstruction', 'kernelStart', 'init'] as const;

const ms = (value: number) => value.toFixed(value < 100 ? 1 : 0);

/** Ratios within pairs: median, and the smallest and the largest of them. */
function ratios(pairs: readonly Pair[], of: (boot: Boot) => number): { median: number; text: string } {
  const all = pairs.map(({ ours, theirs }) => of(ours) / of(theirs));
  return { median: median(all), text: `${median(all).toFixed(2)} (${min(all).toFixed(2)} to ${max(all).toFixed(2)})` };
}

const COLUMNS: readonly (readonly [name: string, of: (pair: Pair) => number | undefined])[] = [
  ['node-kvm: line', ({ ours }) => ours.line],
  ['end', ({ ours }) => ours.end],
  ['QEMU: line', ({ theirs }) => theirs.line],
  ['end', ({ theirs }) => theirs.end],
  ['create() to line', ({ here }) => here.line],
];

function rows(pairs: readonly Pair[], columns: typeof COLUMNS): string[][] {
  const values = columns.map(([, of]) => pairs.map(of).filter(value => value !== undefined));
  const show = (value: number | undefined) => (value === undefined ? '-' : ms(value));
  return [
    ['ms', ...columns.map(([name]) => name)],
    ...pairs.map((_, index) => [String(index + 1), ...values.map(column => show(column[index]))]),
    ['median', ...values.map(column => show(column.length === 0 ? undefined : median(column)))],
  ];
}

const draw = (lines: string[][]) =>
  table(lines, {
    columnDefault: { alignment: 'right', paddingLeft: 0, paddingRight: 2 },
    border: { joinBody: '─', joinLeft: '', joinRight: '', joinJoin: '─' },
    drawVerticalLine: () => false,
    drawHorizontalLine: index => index === 1 || index === lines.length - 1,
  });

/** A missed goal is said, and is no failure. */
export function renderResult({ vcpus, pairs }: Result): string {
  const line = ratios(pairs, boot => boot.line);
  const marks = MARKS.map(mark => [mark, ({ ours }: Pair) => ours.marks?.[mark]] as const);
  const processors = `${vcpus} vCPU${vcpus === 1 ? '' : 's'}`;
  return [
    `${processors}: from the start of the process to the first line of the guest's first process, and to the end of the process`,
    draw(rows(pairs, COLUMNS)),
    `${processors}: node-kvm's own marks, since create() was called in that process`,
    draw(rows(pairs, marks)),
    `${processors}: node-kvm / QEMU, median of the pairs (smallest to largest): to the first line ${line.text}, to the end ${ratios(pairs, boot => boot.end).text}`,
    `${processors}: goal: at most ${GOAL.toFixed(1)} to the first line: ${line.median <= GOAL ? 'met' : 'MISSED'}`,
    '',
  ].join('\n');
}
