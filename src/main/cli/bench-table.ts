// The lab's report on the terminal: a table of rows, one of latencies, one of litmus tests, and what is to be known about them. Main
// thread; pure.

import { table } from 'table';
import type { Failure, LabReport, LitmusRow, MachineFacts, Row } from '../lab/report.ts';
import { groupBy, varying } from './bench-charts.ts';
import {
  durationText,
  figure,
  intervalText,
  PERCENTILE_NAMES,
  parametersText,
  percent,
  percentileTexts,
  ratioText,
  targetFinding,
  timeText,
  UNITS,
} from './bench-text.ts';
import { showSize } from './values.ts';

/** The whole report as text that ends in a newline. */
export function benchTable(report: LabReport): string {
  const { rows, litmus, skipped, failures } = report;
  const parts = [
    heading(report),
    ...(rows.length > 0 ? [rowTable(rows), '', LEGEND, ...doubts(rows)] : []),
    ...(rows.some(({ latency }) => latency !== undefined) ? [latencyTable(rows)] : []),
    ...(litmus.length > 0 ? [litmusTable(litmus)] : []),
    '',
    ...skipped.map(({ what, reason }) => `skipped: ${what}: ${reason}`),
    ...failures.map(failure => `FAILED: ${failureText(failure)}`),
    summary(report),
  ];
  return `${parts.join('\n')}\n`;
}

const LEGEND =
  'Medians with 95 % confidence intervals. CV: coefficient of variation between visits. ratio C: to as many C threads, visit by visit.';

function heading({ machine, seed, scenario, started, seconds, version }: LabReport): string {
  const run = `${scenario.name === '' ? 'lab' : scenario.name}, ${started}, ${durationText(seconds)}, seed ${seed}, node-kvm ${version}`;
  return [run, ...factLines(machine).map(([name, text]) => `${name}: ${text}`), ''].join('\n');
}

/** What the machine is, as names and texts. */
export function factLines(machine: MachineFacts): [string, string][] {
  const { cpu, cpus, pinned, caches, memoryBytes, kernel, kvm, node, v8, flags, governor, loadAverage, stolen } =
    machine;
  const clocks = Object.entries(machine.clockNs).map(([kind, ns]) => `${kind} ${timeText(ns)}`);
  const lines: [string, string][] = [
    [
      'processor',
      `${cpus} × ${cpu}; actors pinned to ${pinned.length > 0 ? pinned.join(', ') : 'none'}; governor ${governor}`,
    ],
    ['caches', caches.join(', ') || 'unknown'],
    ['memory', showSize(memoryBytes)],
    ['system', `Linux ${kernel}, KVM: ${kvm}`],
    ['Node', `${node}, V8 ${v8}${flags.length > 0 ? `, ${flags.join(' ')}` : ''}`],
    ['disturbance', `load average ${loadAverage.toFixed(2)} at the start; ${percent(stolen)} of CPU time stolen`],
  ];
  if (clocks.length > 0) lines.push(['clock', `${clocks.join(', ')} (subtracted)`]);
  return lines;
}

const right = { alignment: 'right' } as const;
const left = { alignment: 'left' } as const;
type Alignment = typeof left | typeof right;

/** A plain table: a line under the first row, blanks between columns. `headings`: rows whose first cell goes over all columns. */
export function plainTable(
  rows: readonly (readonly string[])[],
  columns: readonly Alignment[],
  headings: readonly number[] = [],
): string {
  return table(
    rows.map(row => [...row]),
    {
      columns: [...columns],
      columnDefault: { paddingLeft: 0, paddingRight: 2 },
      border: { joinBody: '─', joinLeft: '', joinRight: '', joinJoin: '─' },
      drawVerticalLine: () => false,
      drawHorizontalLine: index => index === 1,
      spanningCells: headings.map(row => ({ row, col: 0, colSpan: columns.length })),
    },
  )
    .replace(/ +$/gm, '')
    .trimEnd();
}

/** A heading for each workload and choice of parameters, a line below it for each mix of actors: it has to fit on a terminal. */
function rowTable(rows: readonly Row[]): string {
  const peers = [...new Set(rows.flatMap(row => Object.keys(row.peers ?? {})))];
  const lines: string[][] = [['', 'median', '95 %', 'CV', 'ratio C', '95 %', ...peers, '']];
  const headings: number[] = [];
  for (const [heading, members] of groupBy(rows, headingOf)) {
    headings.push(lines.length);
    lines.push([heading, ...Array.from({ length: 6 + peers.length }, () => '')]);
    for (const row of members) {
      const { value, ratio } = row;
      lines.push([
        `  ${row.actors}`,
        figure(value.median),
        intervalText(value.interval),
        percent(value.variation),
        ratio === undefined ? '' : ratioText(ratio.median),
        ratio === undefined ? '' : intervalText(ratio.interval, ratioText),
        ...peers.map(peer => {
          const estimate = row.peers?.[peer];
          return estimate === undefined ? '' : figure(estimate.median);
        }),
        row.doubts.length > 0 ? '!' : '',
      ]);
    }
  }
  return plainTable(lines, [left, right, right, right, right, right, ...peers.map(() => right), left], headings);
}

/** `stream/triad 64 KiB, GB/s` */
function headingOf({ suite, workload, parameters, unit }: Row): string {
  return `${[`${suite}/${workload}`, parametersText(parameters)].filter(Boolean).join(' ')}, ${UNITS[unit]}`;
}

const doubts = (rows: readonly Row[]): string[] =>
  reasons(rows.flatMap(({ id, doubts: own }) => own.map(text => ({ id, text })))).map(line => `! ${line}`);

/** A line for each reason with the rows that it is about: texts that differ in their figures alone are one, for a dozen rows share it. */
export function reasons(notes: readonly { readonly id: string; readonly text: string }[]): string[] {
  return groupBy(notes, ({ text }) => text.replace(FIGURES, '#')).map(([, about]) => {
    const ids = about.map(({ id }) => id);
    const who = ids.length > IDS_MAX ? `${ids.length} rows` : ids.join(', ');
    return `${together(about.map(({ text }) => text))}: ${who}`;
  });
}

const FIGURES = /\d+(?:\.\d+)?/g;
/** More rows than that are only counted: they are marked in the table. */
const IDS_MAX = 3;

/** `± 12 to 40 % only`: texts that differ in figures alone, with the range of each figure. */
function together(texts: readonly string[]): string {
  const figures = texts.map(text => (text.match(FIGURES) ?? []).map(Number));
  let place = -1;
  return (texts[0] ?? '').replace(FIGURES, () => {
    place += 1;
    const all = figures.map(numbers => numbers[place] ?? 0);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return low === high ? String(low) : `${low} to ${high}`;
  });
}

function latencyTable(rows: readonly Row[]): string {
  const lines: string[][] = [['latency', 'samples', ...PERCENTILE_NAMES]];
  const headings: number[] = [];
  for (const [name, ofWorkload] of groupBy(rows, ({ suite, workload }) => `${suite}/${workload}`)) {
    const measured = ofWorkload.filter(({ latency }) => latency !== undefined);
    if (measured.length === 0) continue;
    const told = varying(measured);
    headings.push(lines.length);
    lines.push([name, ...Array.from({ length: 6 }, () => '')]);
    for (const { actors, parameters, latency } of measured) {
      if (latency === undefined) continue;
      const own = parametersText(Object.fromEntries(Object.entries(parameters).filter(([key]) => told.includes(key))));
      const who = [actors, own].filter(Boolean).join(', ');
      lines.push([`  ${who}`, latency.count.toLocaleString('en-US'), ...percentileTexts(latency)]);
    }
  }
  return `\n${plainTable(lines, [left, right, right, right, right, right, right], headings)}`;
}

function litmusTable(litmus: readonly LitmusRow[]): string {
  const head = ['litmus', 'access', 'actors', 'iterations', 'outcome asked for', 'verdict'];
  const lines = litmus.map(row => [
    row.test,
    row.access,
    row.actors.join(' ‖ '),
    row.iterations.toLocaleString('en-US'),
    row.outcomes.find(({ isTarget }) => isTarget)?.text ?? '',
    targetFinding(row).text,
  ]);
  return `\n${plainTable([head, ...lines], [left, left, left, right, left, left])}`;
}

/** `stream/triad (js:1, js:2; 2 rows missing): ERR_LAB_ACTOR at stream/triad/js:1: js actor 0 died` */
export function failureText({ workload, actors, rows, during, code, message }: Failure): string {
  const missing = rows.length === 0 ? 'when its actors were closed' : `${rows.length} rows missing`;
  const at = during === '' ? '' : ` at ${during}`;
  return `${workload} (${[...new Set(actors)].join(', ')}; ${missing}): ${code}${at}: ${message}`;
}

/** The last line: what was done, and whether something is wrong. */
function summary({ rows, litmus, failures, interrupted }: LabReport): string {
  const doubtful = rows.filter(row => row.doubts.length > 0).length;
  const failed = litmus.filter(row => row.failed).length;
  const parts = [
    `${rows.length} rows, ${doubtful} of them doubtful`,
    ...(litmus.length > 0 ? [`${litmus.length} litmus tests, ${failed} with a forbidden outcome`] : []),
    ...(failures.length > 0 ? [`${failures.length} FAILED`] : []),
    ...(interrupted ? ['INTERRUPTED: only what was measured until then'] : []),
  ];
  return parts.join('; ');
}
