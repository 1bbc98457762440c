// Parts of the lab's page that are text and need no script: rows with intervals, latencies, the litmus matrix, facts. Report in, HTML
// out. Main thread; pure.

import type { Interval, LabReport, LitmusRow, Row } from '../lab/report.ts';
import { groupBy, varying } from './bench-charts.ts';
import { factLines } from './bench-table.ts';
import {
  durationText,
  figure,
  intervalText,
  PERCENTILE_NAMES,
  parameterText,
  percent,
  percentileTexts,
  ratioText,
  sideOfOne,
  targetFinding,
  UNITS,
} from './bench-text.ts';
import { escapeText } from './html.ts';

/** A table from cells that are HTML already. Columns of `numbers` (indices) are aligned to the right. */
export function htmlTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  numbers: readonly number[],
  className = '',
): string {
  const mark = (index: number) => (numbers.includes(index) ? ' class="number"' : '');
  const headCells = head.map((text, index) => `<th scope="col"${mark(index)}>${text}</th>`);
  const bodyRows = rows.map(
    cells =>
      `<tr>${cells.map((cell, index) => (cell.startsWith('<td') ? cell : `<td${mark(index)}>${cell}</td>`)).join('')}</tr>`,
  );
  const opening = className === '' ? '<table>' : `<table class="${className}">`;
  return `<div class="scroll">${opening}<thead><tr>${headCells.join('')}</tr></thead><tbody>\n${bodyRows.join('\n')}\n</tbody></table></div>`;
}

/** Names and texts, side by side. */
export function factList(entries: readonly (readonly [string, string])[]): string {
  return `<dl>${entries.map(([name, text]) => `<div><dt>${escapeText(name)}</dt><dd>${escapeText(text)}</dd></div>`).join('\n')}</dl>`;
}

export function runFacts({ started, seconds, seed, version, scenario }: LabReport): [string, string][] {
  return [
    ['run', `${started}, ${durationText(seconds)}`],
    ['seed', String(seed)],
    ['node-kvm', version],
    [
      'visits × repetitions',
      `${scenario.visits} × ${scenario.repetitions} of ${scenario.repetitionMs} ms${scenario.extraVisits > 0 ? `, up to ${scenario.extraVisits} more a row on average where it is known badly` : ''}${scenario.quick ? ', quick: wide intervals' : ''}`,
    ],
  ];
}

export const machineFacts = ({ machine }: LabReport): string => factList(factLines(machine));

/** One workload's rows. Parameters that all rows share are said above the table, not in each row. */
export function rowsTable(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap(({ parameters }) => Object.keys(parameters)))];
  const told = varying(rows);
  const shared = names.filter(name => !told.includes(name));
  const peers = [...new Set(rows.flatMap(row => Object.keys(row.peers ?? {})))];
  const unit = rows[0] === undefined ? '' : UNITS[rows[0].unit];
  const hasRatio = rows.some(({ ratio }) => ratio !== undefined);
  const hasDoubts = rows.some(({ doubts }) => doubts.length > 0);
  const head = [
    'actors',
    ...told.map(escapeText),
    `median, ${unit}`,
    '95 % interval',
    'CV',
    ...(hasRatio ? ['C threads', 'ratio to C', 'interval', FOREST_HEAD] : []),
    ...peers.map(escapeText),
    ...(hasDoubts ? ['doubts'] : []),
  ];
  const cells = rows.map(row => [
    escapeText(row.actors),
    ...told.map(name => escapeText(cellText(row, name))),
    figure(row.value.median),
    intervalText(row.value.interval),
    percent(row.value.variation),
    ...(hasRatio ? ratioCells(row) : []),
    ...peers.map(peer => {
      const estimate = row.peers?.[peer];
      return estimate === undefined ? '' : figure(estimate.median);
    }),
    ...(hasDoubts ? [`<td class="wrap warn">${escapeText(row.doubts.join('; '))}</td>`] : []),
  ]);
  const words = ['actors', 'doubts', FOREST_HEAD, ...told.map(escapeText)];
  const numbers = head.flatMap((text, index) => (words.includes(text) ? [] : [index]));
  const [first] = rows;
  const common = first === undefined ? '' : shared.map(name => `${name} ${cellText(first, name)}`).join(', ');
  const better = rows[0]?.better === 'lower' ? 'Lower is better.' : 'Higher is better.';
  const note = common === '' ? better : `${better} In all rows: ${common}.`;
  return `<p class="quiet">${escapeText(note)}</p>${htmlTable(head, cells, numbers)}`;
}

function ratioCells(row: Row): string[] {
  const { baseline, ratio } = row;
  if (baseline === undefined || ratio === undefined) return ['', '', '', ''];
  const side = sideOfOne(ratio, row.better);
  const className = side === 'faster' ? ' good' : side === 'slower' ? ' bad' : '';
  return [
    figure(baseline.median),
    `<td class="number${className}">${ratioText(ratio.median)}${side === undefined ? '' : ` ${side}`}</td>`,
    intervalText(ratio.interval, ratioText),
    `<td>${forest({ median: ratio.median, ...ratio.interval })}</td>`,
  ];
}

export const FOREST_HEAD = '¼ … 1 … 4';
const FOREST_WIDTH = 132;
const FOREST_EDGE = 6;

/** An interval of ratios on a logarithmic axis from 1/4 to 4; what is beyond lies at the edge. */
export function forest({ median, low, high }: Interval & { readonly median: number }): string {
  const middle = FOREST_WIDTH / 2;
  const x = (ratio: number) => {
    const place = middle + (Math.log2(Math.max(ratio, 1e-9)) / 2) * (middle - FOREST_EDGE);
    return Math.min(FOREST_WIDTH - 2, Math.max(2, place)).toFixed(1);
  };
  // A line of no length is not to be seen.
  const end = Math.max(Number(x(high)), Number(x(low)) + 1).toFixed(1);
  return (
    `<svg class="forest" width="${FOREST_WIDTH}" height="16" aria-hidden="true">` +
    `<line class="axis" x1="0" x2="${FOREST_WIDTH}" y1="8.5" y2="8.5"/><line class="one" x1="${middle}" x2="${middle}" y1="1" y2="15"/>` +
    `<line class="interval" x1="${x(low)}" x2="${end}" y1="8.5" y2="8.5"/><circle class="median" cx="${x(median)}" cy="8.5" r="3"/></svg>`
  );
}

/** Percentiles of rows that have single latencies; '' without any. */
export function latencyTable(rows: readonly Row[]): string {
  const measured = rows.filter(({ latency }) => latency !== undefined);
  if (measured.length === 0) return '';
  const told = varying(measured);
  const cells = measured.map(row => [
    escapeText(row.actors),
    ...told.map(name => escapeText(cellText(row, name))),
    ...(row.latency === undefined ? [] : [row.latency.count.toLocaleString('en-US'), ...percentileTexts(row.latency)]),
  ]);
  const head = ['latency, actors', ...told.map(escapeText), 'samples', ...PERCENTILE_NAMES];
  const numbers = head.map((_, index) => index).filter(index => index > told.length);
  return htmlTable(head, cells, numbers);
}

/** A parameter in a cell of its own; '' where a row has none of that name. */
function cellText({ parameters }: Row, name: string): string {
  const value = parameters[name];
  return value === undefined ? '' : parameterText(name, value);
}

/** A row for each test and kind of access, a column for each set of actors; then every outcome with its reason. */
export function litmusSection(litmus: readonly LitmusRow[]): string {
  const columnOf = ({ actors }: LitmusRow) => [...new Set(actors)].sort().join(' + ');
  const columns = [...new Set(litmus.map(columnOf))].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const rows = groupBy(litmus, ({ test, access }) => `${test}, ${access}`).map(([name, ofTest]) => [
    escapeText(name),
    ...columns.map(column => matrixCell(ofTest.filter(row => columnOf(row) === column))),
  ]);
  const failed = litmus.filter(row => row.failed).length;
  const verdict =
    failed > 0
      ? `<p class="alarm">A forbidden outcome was seen in ${failed} of ${litmus.length} tests: either a memory model is broken here or the table of what is allowed is wrong.</p>`
      : `<p class="calm">No forbidden outcome in ${litmus.reduce((sum, { iterations }) => sum + iterations, 0).toLocaleString('en-US')} iterations of ${litmus.length} tests.</p>`;
  return (
    `${verdict}<p class="quiet">Each cell: is the relaxed outcome that the test is about allowed between these actors, and how often was it seen. ` +
    `● allowed and seen, ○ allowed and not seen, ✓ forbidden and never seen, ✗ FORBIDDEN, yet seen. An allowed outcome that was not seen proves ` +
    `nothing; a forbidden one must never be seen.</p>` +
    `${htmlTable(['test, access', ...columns.map(escapeText)], rows, [], 'matrix')}<h3>Every outcome</h3>${litmus.map(litmusDetails).join('\n')}`
  );
}

/** Several rows where the same kinds take different parts in the test: each is named then. */
function matrixCell(rows: readonly LitmusRow[]): string {
  const findings = rows.map(row => ({ ...targetFinding(row), who: row.actors.join(' ‖ ') }));
  const worst = (['failed', 'seen', 'unseen', 'forbidden'] as const).find(kind => findings.some(f => f.kind === kind));
  if (worst === undefined) return '<td></td>';
  const mark = { failed: '✗ ', seen: '● ', unseen: '○ ', forbidden: '✓ ' } as const;
  const lines = findings.map(({ kind, short, who }) =>
    escapeText(`${mark[kind]}${short}${findings.length > 1 ? ` (${who})` : ''}`),
  );
  return `<td class="${worst}">${lines.join('<br>')}</td>`;
}

function litmusDetails(row: LitmusRow): string {
  const { test, access, actors, iterations, seconds, outcomes, reason, failed } = row;
  const cells = outcomes.map(({ text, count, allowed, isTarget }) => [
    escapeText(text),
    count.toLocaleString('en-US'),
    allowed ? 'allowed' : `<td class="${count > 0 ? 'bad' : ''}">forbidden</td>`,
    isTarget ? 'what the test asks for' : '',
  ]);
  const rate = seconds > 0 ? `, ${figure(iterations / seconds / 1e6)} million/s` : '';
  const title = `${test}, ${access}, ${actors.join(' ‖ ')}: ${targetFinding(row).text}`;
  return (
    `<details${failed ? ' open' : ''}><summary>${escapeText(title)}</summary><p class="quiet">${iterations.toLocaleString('en-US')} iterations${rate}. ` +
    `${escapeText(reason)}</p>${htmlTable(['outcome', 'seen', 'model', ''], cells, [1])}</details>`
  );
}
