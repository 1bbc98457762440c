// Two reports of the lab held against each other: read from files, shown as a table on the terminal and as a page. What differs is
// compareReports' to say. Main thread.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Ajv } from 'ajv';
import { messageOf } from '../../../shared/errors.ts';
import type { ComparedRow, Comparison, Verdict } from '../lab/compare.ts';
import type { LabReport, Row } from '../lab/report.ts';
import { groupBy, varying } from './bench-charts.ts';
import { framed } from './bench-page.ts';
import { FOREST_HEAD, factList, forest, htmlTable, machineFacts, runFacts } from './bench-sections.ts';
import { plainTable, reasons } from './bench-table.ts';
import { estimateText, parametersText, percent, ratioText, UNITS } from './bench-text.ts';
import { escapeText } from './html.ts';
import { UsageError } from './values.ts';

/** A report and the file that it is from. */
export interface ReportFile {
  readonly path: string;
  readonly report: LabReport;
}

const NUMBER = { type: 'number' } as const;
const TEXT = { type: 'string' } as const;
const TEXTS = { type: 'array', items: TEXT } as const;
const objectOf = (properties: Readonly<Record<string, object>>) => ({
  type: 'object',
  required: Object.keys(properties),
  properties,
});
const ESTIMATE = objectOf({ median: NUMBER, interval: objectOf({ low: NUMBER, high: NUMBER }), variation: NUMBER });
const ROW = objectOf({
  id: TEXT,
  suite: TEXT,
  workload: TEXT,
  actors: TEXT,
  parameters: { type: 'object', additionalProperties: { type: ['number', 'string'] } },
  unit: { enum: Object.keys(UNITS) },
  better: { enum: ['higher', 'lower'] },
  value: ESTIMATE,
  doubts: TEXTS,
});
const MACHINE = objectOf({
  cpu: TEXT,
  cpus: NUMBER,
  pinned: { type: 'array', items: NUMBER },
  caches: TEXTS,
  memoryBytes: NUMBER,
  kernel: TEXT,
  kvm: TEXT,
  node: TEXT,
  v8: TEXT,
  flags: TEXTS,
  governor: TEXT,
  loadAverage: NUMBER,
  stolen: NUMBER,
  clockNs: { type: 'object', additionalProperties: NUMBER },
});

/** What a comparison reads of a report: files are edited, cut off, or something else altogether. */
const isReport = new Ajv({ allowUnionTypes: true }).compile({
  type: 'object',
  required: ['format', 'version', 'started', 'seconds', 'seed', 'scenario', 'machine', 'rows', 'interrupted'],
  properties: {
    format: { const: 'node-kvm-lab/1' },
    version: TEXT,
    started: TEXT,
    seconds: NUMBER,
    seed: NUMBER,
    scenario: { type: 'object' },
    machine: MACHINE,
    rows: {
      type: 'array',
      items: { ...ROW, properties: { ...ROW.properties, baseline: ESTIMATE, ratio: ESTIMATE } },
    },
  },
});

/** @throws UsageError when the file cannot be read or is no report of `node-kvm bench --json` */
export function readReport(path: string): ReportFile {
  let report: unknown;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`'${path}' cannot be read: ${messageOf(error)}`);
  }
  if (!isReport(report)) {
    const problem = isReport.errors?.[0];
    throw new UsageError(
      `'${path}' is no report of 'node-kvm bench --json': ${problem?.instancePath || 'it'} ${problem?.message}`,
    );
  }
  // SAFETY: what a comparison reads was just checked.
  return { path, report: report as unknown as LabReport };
}

const MARKS: Readonly<Record<Verdict, string>> = {
  faster: '▲ faster',
  slower: '▼ slower',
  same: '= same',
  doubtful: '? doubtful',
  'only in a': 'only in a',
  'only in b': 'only in b',
};

const signed = (share: number) => `${share < 0 ? '−' : '+'}${percent(Math.abs(share))}`;

/** What was compared, of one side. */
function sideText(row: ComparedRow, side: 'a' | 'b'): string {
  const estimate = row[side]?.[row.by ?? 'value'];
  if (estimate === undefined) return '';
  return row.by === 'ratio' ? `${estimateText(estimate, ratioText)} of C` : estimateText(estimate);
}

/** The row as one of the two has it. */
const eitherOf = ({ a, b }: ComparedRow): Row | undefined => a ?? b;

interface Section {
  /** `stream/triad, GB/s` */
  readonly heading: string;
  /** With what tells them apart: `js:2, 64 KiB`. */
  readonly rows: readonly (readonly [who: string, ComparedRow])[];
}

function sectionsOf({ rows }: Comparison): Section[] {
  const headingOf = (row: ComparedRow) => {
    const either = eitherOf(row);
    return either === undefined ? '' : `${either.suite}/${either.workload}, ${UNITS[either.unit]}`;
  };
  return groupBy(rows, headingOf).map(([heading, members]) => {
    const told = varying(members.flatMap(row => eitherOf(row) ?? []));
    return {
      heading,
      rows: members.map(row => {
        const parameters = Object.entries(eitherOf(row)?.parameters ?? {}).filter(([name]) => told.includes(name));
        const who = [eitherOf(row)?.actors ?? row.id, parametersText(Object.fromEntries(parameters))];
        return [who.filter(Boolean).join(', '), row] as const;
      }),
    };
  });
}

const speedText = ({ speedup }: ComparedRow) => (speedup === undefined ? '' : signed(speedup - 1));
const neededText = ({ needed }: ComparedRow) => (needed === undefined ? '' : percent(needed));

/** `3 faster, 1 slower, 20 same, …`: without those that there are none of. */
function countsText({ counts }: Comparison): string {
  const parts = Object.entries(counts).filter(([, count]) => count > 0);
  return parts.map(([verdict, count]) => `${count} ${verdict}`).join(', ') || 'no rows';
}

function machineText({ machine }: Comparison): string {
  if (machine.baselines === 0)
    return 'No C baselines in both: what the machine itself did between the runs is unknown.';
  return `The C baselines, the same code in both: ${signed(machine.shift)} speed, spread ${percent(machine.spread)} (${machine.baselines} rows).`;
}

const LEGEND =
  "speed: how much faster b is than a. seen from: the least difference that would have been called one in this row. 'of C': ratios to C threads were compared.";

/** The comparison as text that ends in a newline. */
export function comparisonTable(comparison: Comparison, a: ReportFile, b: ReportFile): string {
  const left = { alignment: 'left' } as const;
  const right = { alignment: 'right' } as const;
  const lines: string[][] = [['', 'a', 'b', 'speed', 'seen from', 'verdict']];
  const headings: number[] = [];
  for (const { heading, rows } of sectionsOf(comparison)) {
    headings.push(lines.length);
    lines.push([heading, '', '', '', '', '']);
    for (const [who, row] of rows)
      lines.push([
        `  ${who}`,
        sideText(row, 'a'),
        sideText(row, 'b'),
        speedText(row),
        neededText(row),
        MARKS[row.verdict],
      ]);
  }
  const notes = comparison.rows.flatMap(({ id, notes: own }) => own.map(text => ({ id, text })));
  const parts = [
    `a: ${a.path}, ${a.report.started}, seed ${a.report.seed}`,
    `b: ${b.path}, ${b.report.started}, seed ${b.report.seed}`,
    ...comparison.caveats.map(caveat => `not the same: ${caveat}`),
    '',
    plainTable(lines, [left, right, right, right, right, left], headings),
    '',
    LEGEND,
    machineText(comparison),
    ...reasons(notes),
    countsText(comparison),
  ];
  return `${parts.join('\n')}\n`;
}

/** The comparison as a page. */
export function comparisonPage(comparison: Comparison, a: ReportFile, b: ReportFile): string {
  const head = ['', 'a', 'b', 'speed of b', 'seen from', FOREST_HEAD, 'verdict', 'notes'];
  const sections = sectionsOf(comparison).map(({ heading, rows }) => {
    const cells = rows.map(([who, row]) => [
      escapeText(who),
      escapeText(sideText(row, 'a')),
      escapeText(sideText(row, 'b')),
      speedText(row),
      neededText(row),
      `<td>${row.speedup === undefined ? '' : forest({ median: row.speedup, low: row.speedup, high: row.speedup })}</td>`,
      `<td class="${CLASSES[row.verdict]}">${MARKS[row.verdict]}</td>`,
      `<td class="wrap quiet">${escapeText(row.notes.join('; '))}</td>`,
    ]);
    return `<h3>${escapeText(heading)}</h3>${htmlTable(head, cells, [1, 2, 3, 4])}`;
  });
  const caveats = comparison.caveats.map(caveat => `<li>${escapeText(caveat)}</li>`).join('');
  const body = [
    `<p><b>${countsText(comparison)}</b></p>`,
    `<p class="quiet">${escapeText(LEGEND)} ${escapeText(machineText(comparison))}</p>`,
    caveats === ''
      ? ''
      : `<div class="alarm">Not the same in both runs, so differences may come from there:<ul>${caveats}</ul></div>`,
    ...sections,
    ...[a, b].map(({ path, report }, index) =>
      [
        `<h2>${index === 0 ? 'a' : 'b'}: ${escapeText(basename(path))}</h2>`,
        factList(runFacts(report)),
        machineFacts(report),
      ].join('\n'),
    ),
  ];
  return framed(`Comparison of ${basename(a.path)} and ${basename(b.path)}`, body, { charts: [] });
}

const CLASSES: Readonly<Record<Verdict, string>> = {
  faster: 'good',
  slower: 'bad',
  same: '',
  doubtful: 'warn',
  'only in a': 'quiet',
  'only in b': 'quiet',
};
