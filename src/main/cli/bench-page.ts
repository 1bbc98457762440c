// The pages of `node-kvm bench --html`: one file that loads nothing, made of page.html (frame and style), script.ts (charts, bundled for
// browsers at build time) and the report. Main thread; pure. Every figure is there as text too, without the script.

import type { LabReport, Row } from '../lab/report.ts';
import type { Workload } from '../lab/workload.ts';
import { chartsOf, groupBy } from './bench-charts.ts';
import type { BenchPageData, Chart } from './bench-page/data.ts';
import template from './bench-page/page.html' with { type: 'text' };
import script from './bench-page/script.ts?browser';
import { factList, latencyTable, litmusSection, machineFacts, rowsTable, runFacts } from './bench-sections.ts';
import { failureText } from './bench-table.ts';
import { embedData, embedScript, escapeText, fillTemplate, HEAD } from './html.ts';

/** What the page says of a workload besides its figures. */
export type WorkloadText = Pick<Workload, 'suite' | 'name' | 'title' | 'model'>;

/** The report of one run. `workloads`: what its workloads measure, in words; those that are not there are shown without. */
export function benchPage(report: LabReport, workloads: readonly WorkloadText[]): string {
  const { rows, litmus, scenario } = report;
  const charts: Chart[] = [];
  const suites = groupBy(rows, ({ suite }) => suite);
  const sections = suites.map(([suite, ofSuite]) => suiteSection(suite, ofSuite, workloads, charts));
  if (litmus.length > 0) sections.push(`<h2 id="litmus">litmus</h2>${litmusSection(litmus)}`);
  const links = [...suites.map(([suite]) => suite), ...(litmus.length > 0 ? ['litmus'] : [])];
  const body = [
    opening(report),
    `<nav>${links.map(name => `<a href="#${anchor(name)}">${escapeText(name)}</a>`).join('')}</nav>`,
    HOW_TO_READ,
    '<noscript><p>The charts need JavaScript; the tables have every figure without it.</p></noscript>',
    ...sections,
    skippedSection(report),
    `<details><summary>The scenario, to repeat this run: save as scenario.json, then node-kvm bench --scenario scenario.json</summary><pre>${escapeText(JSON.stringify(repeatable(report), null, 2))}</pre></details>`,
  ];
  return framed(scenario.name === '' ? 'Concurrency lab' : `Concurrency lab: ${scenario.name}`, body, { charts });
}

/** A page from parts that are HTML already. */
export function framed(title: string, body: readonly string[], data: BenchPageData): string {
  return fillTemplate(template, {
    HEAD,
    TITLE: escapeText(title),
    BODY: body.join('\n'),
    DATA: embedData(data),
    SCRIPT: embedScript(script),
  });
}

const HOW_TO_READ =
  '<p class="quiet">Figures are medians of the visits’ medians; intervals hold the true median with 95 % confidence (bootstrap over visits). CV is the ' +
  'coefficient of variation between visits. C threads ran in the same rounds on the same bytes, and ratios are taken visit by visit. Whiskers in ' +
  'charts are the intervals. A row with a doubt is not to be relied on.</p>';

function opening(report: LabReport): string {
  const { rows, litmus, interrupted } = report;
  const doubtful = rows.filter(({ doubts }) => doubts.length > 0).length;
  const failed = litmus.filter(row => row.failed).length;
  const counts: [string, string][] = [
    ['rows', `${rows.length}, ${doubtful} of them doubtful`],
    ...(litmus.length > 0
      ? [['litmus tests', `${litmus.length}, ${failed} with a forbidden outcome`] as [string, string]]
      : []),
  ];
  return [
    interrupted ? '<p class="alarm">This run was interrupted: here is only what was measured until then.</p>' : '',
    failuresNote(report),
    factList([...runFacts(report), ...counts]),
    '<h3>Machine</h3>',
    machineFacts(report),
  ].join('\n');
}

/** First of all: some rows are not there, and why. */
function failuresNote({ failures }: LabReport): string {
  if (failures.length === 0) return '';
  const items = failures.map(failure => `<li>${escapeText(failureText(failure))}</li>`).join('\n');
  return `<div class="alarm">Not everything could be measured; the rest went on with new actors.<ul class="notes">${items}</ul></div>`;
}

/** An id of an element; suites and workloads are named by ourselves, but reports are files. */
const anchor = (text: string) => text.replace(/[^\w-]+/g, '-');

function suiteSection(
  suite: string,
  rows: readonly Row[],
  workloads: readonly WorkloadText[],
  charts: Chart[],
): string {
  const parts = groupBy(rows, ({ workload }) => workload).map(([workload, ofWorkload]) => {
    const own = chartsOf(ofWorkload, `chart-${anchor(suite)}-${anchor(workload)}`);
    charts.push(...own);
    const text = workloads.find(candidate => candidate.suite === suite && candidate.name === workload);
    return [
      `<h3>${escapeText(workload)}${text === undefined ? '' : `: ${escapeText(text.title)}`}</h3>`,
      text === undefined ? '' : `<p>${prose(text.model)}</p>`,
      own.length === 0 ? '' : `<div class="charts">${own.map(chartPlace).join('\n')}</div>`,
      rowsTable(ofWorkload),
      latencyTable(ofWorkload),
    ].join('\n');
  });
  return `<h2 id="${anchor(suite)}">${escapeText(suite)}</h2>\n${parts.join('\n')}`;
}

/** Text in which what stands between backquotes is code. */
const prose = (text: string) => escapeText(text).replace(/`([^`]+)`/g, '<code>$1</code>');

function chartPlace({ id, title, x, y }: Chart): string {
  const description = escapeText(`${title}: ${y.label} by ${x.label}; the figures are in the table`);
  return `<figure><figcaption>${escapeText(title)}</figcaption><div class="plot" id="${id}" role="img" aria-label="${description}"></div></figure>`;
}

function skippedSection({ skipped }: LabReport): string {
  if (skipped.length === 0) return '';
  const items = skipped.map(({ what, reason }) => `<li>${escapeText(what)}: ${escapeText(reason)}</li>`);
  return `<h2>Not measured</h2><ul class="notes">${items.join('\n')}</ul>`;
}

/** The scenario with the seed that was used. */
const repeatable = ({ scenario, seed }: LabReport) => ({ ...scenario, seed });
