// The page of `node-kvm heat --html`: one file that loads nothing, made of page.html (markup and style), script.ts (drawing, bundled
// for browsers at build time) and the recorded data as JSON. Main thread; pure. What is text is there without the script too.

import { PAGE_SIZE } from '../../../shared/units.ts';
import type { Span } from './heat-layout.ts';
import type { HeatPageData } from './heat-page/data.ts';
import template from './heat-page/page.html' with { type: 'text' };
import script from './heat-page/script.ts?browser';
import type { HeatRecord, Interval } from './heat-record.ts';
import { rangeText, regionSummaries } from './heat-report.ts';
import { NOT_SEEN, type Watched } from './heat-text.ts';
import { embedData, embedScript, escapeText, fillTemplate, HEAD } from './html.ts';
import { showSize } from './values.ts';

export function heatPage(watched: Watched, record: HeatRecord, everyMs: number): string {
  const parts: Readonly<Record<string, string>> = {
    HEAD,
    IMAGE: escapeText(watched.image),
    FACTS: facts(watched, record, everyMs),
    NOT_SEEN: escapeText(NOT_SEEN[watched.source]),
    SOURCE: watched.source,
    DESCRIPTION: escapeText(description(record)),
    REGIONS: regionSummaries(record).map(tableRow).join('\n'),
    DATA: embedData(pageData(record, everyMs)),
    SCRIPT: embedScript(script),
  };
  return fillTemplate(template, parts);
}

function tableRow({
  region,
  pages,
  pagesWritten,
  pagesHarvested,
  perSecond,
  hottest,
}: ReturnType<typeof regionSummaries>[number]): string {
  const share = ((100 * pagesWritten) / pages).toFixed(pagesWritten === 0 || pagesWritten === pages ? 0 : 1);
  const cells = [
    `<th scope="row">${rangeText(region)}</th>`,
    numeric(showSize(region.size)),
    numeric(count(pages)),
    numeric(`${count(pagesWritten)} (${share} %)`),
    numeric(count(pagesHarvested)),
    numeric(count(perSecond)),
    `<td>${hottest === undefined ? 'none' : rangeText(hottest)}</td>`,
  ];
  return `<tr>${cells.join('')}</tr>`;
}

const count = (value: number) => Math.round(value).toLocaleString('en-US');
const numeric = (text: string) => `<td class="number">${text}</td>`;

function facts({ engine, vcpus, memoryBytes }: Watched, record: HeatRecord, everyMs: number): string {
  const { history } = record;
  const seconds = record.endMs / 1000;
  const entries: readonly (readonly [string, string])[] = [
    ['Machine', `${vcpus} vCPU${vcpus === 1 ? '' : 's'} on ${engine}, ${showSize(memoryBytes)} of RAM`],
    ['Time', `${seconds.toFixed(2)} s, a look every ${everyMs} ms`],
    ['Pages written', `${count(history.ever)} of 4 KiB (${showSize(history.ever * PAGE_SIZE)})`],
    ['Dirty rate', `${count(record.meanRate)} pages/s on average, ${count(record.peakRate)} at most`],
    ['Working set at the end', `${count(history.workingSet)} pages within ${record.windowMs / 1000} s`],
  ];
  return entries.map(([name, text]) => `<div><dt>${name}</dt><dd>${escapeText(text)}</dd></div>`).join('\n');
}

/** What a picture says to who cannot see it. */
function description(record: HeatRecord): string {
  const busiest = record.intervals.reduce<Interval | undefined>(
    (best, interval) => (interval.pages > (best?.pages ?? 0) ? interval : best),
    undefined,
  );
  if (busiest === undefined) return 'Heat map of guest memory over time: no page was written.';
  const when = `${(busiest.beginMs / 1000).toFixed(2)} to ${(busiest.endMs / 1000).toFixed(2)} s`;
  return (
    `Heat map of guest memory over ${(record.endMs / 1000).toFixed(2)} s, time from left to right, addresses from top to bottom. ` +
    `The busiest interval is ${when} with ${count(busiest.pages)} dirty pages. The table below has the regions.`
  );
}

function pageData(record: HeatRecord, everyMs: number): HeatPageData {
  const { stretches, regions, cellBytes } = record;
  const starts = new Set(stretches.map(({ guestAddr }) => guestAddr));
  return {
    pageBytes: PAGE_SIZE,
    cellBytes,
    everyMs,
    stretches: stretches.map(({ guestAddr, size }: Span) => ({ guestAddr, size })),
    boundaries: regions.spans.map(({ guestAddr }) => guestAddr).filter(address => !starts.has(address)),
    intervals: record.intervals.map(({ beginMs, endMs, harvests, pages, cells }) => ({
      beginMs: round(beginMs),
      endMs: round(endMs),
      harvests,
      pages,
      cells: sparse(cells),
    })),
  };
}

/** Milliseconds to the microsecond: a page need not carry 17 digits. */
const round = (ms: number) => Math.round(ms * 1000) / 1000;

function sparse(cells: Uint32Array): number[] {
  const pairs: number[] = [];
  let skipped = 0;
  for (const pages of cells) {
    if (pages === 0) skipped += 1;
    else {
      pairs.push(skipped, pages);
      skipped = 0;
    }
  }
  return pairs;
}
