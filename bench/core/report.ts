// How results are shown: a table on the terminal, or JSON. Main thread.

import { probe } from 'node-kvm';
import { table } from 'table';
import type { Goal, Result, Spread } from './rounds.ts';

/** A part that could not run here, and why. */
export interface Skipped {
  readonly part: string;
  readonly reason: string;
}

export interface Report {
  readonly machine: Record<string, string | number>;
  readonly compiler: string;
  readonly quick: boolean;
  readonly results: readonly Result[];
  readonly skipped: readonly Skipped[];
}

/** Where the figures come from. */
export function describeMachine(): Record<string, string | number> {
  const { system, node, kvm } = probe();
  return { cpu: system.cpuModel, cpus: system.cpus, kernel: system.kernel, node: node.version, kvm: kvm.kind };
}

const digits = (value: number) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

function amount(value: number, unit: Result['unit']): string {
  if (unit === 'bytes') return value >= 1 << 20 ? `${digits(value / (1 << 20))} MiB` : `${digits(value / 1024)} KiB`;
  if (value >= 1e6) return `${digits(value / 1e6)} ms`;
  if (value >= 1e3) return `${digits(value / 1e3)} µs`;
  return `${digits(value)} ns`;
}

const spreadOf = ({ p5, p95 }: Spread) => `${p5.toFixed(2)} to ${p95.toFixed(2)}`;

function goalOf(goal: Goal | undefined, unit: Result['unit']): string {
  if (goal === undefined) return '';
  return 'ratio' in goal ? `ratio ≤ ${goal.ratio}` : `≤ ${amount(goal.value, unit)}`;
}

const verdict = (met: boolean | undefined) => (met === undefined ? '' : met ? 'met' : 'MISSED');

/** The table: a line for each measure, in groups. */
export function render({ machine, quick, results, skipped }: Report): string {
  const rows: string[][] = [['', 'TypeScript', 'C++', 'ratio', 'p5 to p95', 'goal', '']];
  let group = '';
  for (const result of results) {
    if (result.group !== group) {
      group = result.group;
      rows.push([group, ...(result.sides ?? ['', '']), '', '', '', '']);
    }
    rows.push([
      `  ${result.name}`,
      amount(result.ours.median, result.unit),
      amount(result.theirs.median, result.unit),
      result.ratio.median.toFixed(2),
      spreadOf(result.ratio),
      goalOf(result.goal, result.unit),
      verdict(result.met),
    ]);
  }
  const right = { alignment: 'right' } as const;
  const left = { alignment: 'left' } as const;
  const lines = [
    Object.entries(machine)
      .map(([key, value]) => `${key}: ${value}`)
      .join(', '),
    table(rows, {
      columns: [left, right, right, right, right, right, left],
      columnDefault: { paddingLeft: 0, paddingRight: 2 },
      border: { joinBody: '─', joinLeft: '', joinRight: '', joinJoin: '─' },
      drawVerticalLine: () => false,
      drawHorizontalLine: index => index === 1,
    }),
    'Medians of all rounds of each side. ratio: first column / second in each pair of rounds, median and spread.',
    ...(quick ? ['--quick: few rounds, wide spreads.'] : []),
    ...skipped.map(({ part, reason }) => `skipped: ${part}: ${reason}`),
  ];
  const missed = results.filter(result => result.met === false).length;
  const goals = results.filter(result => result.met !== undefined).length;
  if (goals > 0) lines.push(`${goals - missed} of ${goals} goals met, ${missed} missed`);
  return `${lines.join('\n')}\n`;
}
