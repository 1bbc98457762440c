// The page of `node-kvm heat --html`: it holds its data, loads nothing, cannot be broken by a file name; its axes are right; and
// a browser, where there is one, draws it.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GIB, PAGE_SIZE } from '../../shared/units.ts';
import { addressAxis, showTime, ticks } from '../../src/main/cli/heat-page/scales.ts';
import { heatPage } from '../../src/main/cli/heat-page.ts';
import { HeatRecord } from '../../src/main/cli/heat-record.ts';
import { fileSuite } from '../harness.ts';

const REGIONS = [
  { guestAddr: 0, size: 2 * GIB },
  { guestAddr: 2 * GIB, size: GIB },
  { guestAddr: 4 * GIB, size: GIB },
];

function page(image = 'guest.elf'): string {
  const record = new HeatRecord(REGIONS, 100);
  record.add(Float64Array.of(0x10_0000, 3 * PAGE_SIZE, 4 * GIB, PAGE_SIZE), 0, 100);
  record.add(new Float64Array(), 100, 200);
  return heatPage({ image, engine: 'kvm', vcpus: 2, memoryBytes: 4 * GIB, source: 'bitmap' }, record, 100);
}

const between = (text: string, start: RegExp, end: string) => {
  const rest = text.slice((start.exec(text)?.index ?? 0) + (start.exec(text)?.[0].length ?? 0));
  return rest.slice(0, rest.indexOf(end));
};

const test = suite('heat page');

test('the data is in it', () => {
  const data = JSON.parse(between(page(), /<script type="application\/json" id="data">/, '</script>'));
  assert.equal(data.stretches, [
    { guestAddr: 0, size: 3 * GIB },
    { guestAddr: 4 * GIB, size: GIB },
  ]);
  assert.equal(data.boundaries, [2 * GIB]);
  assert.is(data.cellBytes, 8 << 20);
  assert.equal(data.intervals, [
    { beginMs: 0, endMs: 100, harvests: 1, pages: 4, cells: [0, 3, 383, 1] },
    { beginMs: 100, endMs: 200, harvests: 1, pages: 0, cells: [] },
  ]);
});

test('the table has the regions, and the page says what the source does not see', () => {
  const html = page();
  assert.match(html, /0x00000000–0x7fffffff.*<td class="number">3 \(/);
  assert.match(html, /0x100000000–0x13fffffff/);
  assert.match(html, /Not seen by this source: raw/);
  assert.not.match(html, /\{\{/);
});

test('it loads nothing: no address of a network, and a policy that forbids it', () => {
  const html = page();
  assert.not.match(html, /https?:|\/\/[a-z]+\.|<link|<img|@import|url\(|\bsrc=|fetch\(/i);
  assert.match(html, /default-src 'none'/);
});

test('a file name cannot become markup', () => {
  const html = page('</script><script>alert(1)</script>"&{{DATA}}');
  assert.not.match(html, /<script>alert/);
  assert.match(html, /&lt;\/script&gt;&lt;script&gt;alert\(1\)/);
  assert.match(html, /&amp;\{\{DATA\}\}/);
});

test('the script is one that a browser can parse', () => {
  assert.ok(new Script(between(page(), /<script>/, '</script>')));
});

test('the address axis has a band for each stretch and for the hole, within its height', () => {
  const stretches = [
    { guestAddr: 0, size: 3 * GIB },
    { guestAddr: 4 * GIB, size: PAGE_SIZE },
  ];
  const bands = addressAxis({ stretches, cellBytes: PAGE_SIZE, top: 10, height: 400 });
  assert.equal(
    bands.map(({ cells }) => cells),
    [(3 * GIB) / PAGE_SIZE, 0, 1],
  );
  assert.is(bands[1]?.size, GIB);
  for (const [index, { top, height }] of bands.entries()) {
    assert.ok(height >= 18);
    if (index > 0) assert.is(top, (bands[index - 1]?.top ?? 0) + (bands[index - 1]?.height ?? 0));
  }
  const last = bands.at(-1);
  assert.ok(Math.abs((last?.top ?? 0) + (last?.height ?? 0) - 410) < 1e-6);
  const labels = bands[0]?.labels.map(({ address }) => address) ?? [];
  assert.is(labels[0], 0);
  assert.ok(labels.length > 3 && labels.every(address => address % (1 << 28) === 0));
});

test('ticks are round and cover the maximum', () => {
  assert.equal(ticks(9, 5), [0, 2, 4, 6, 8, 10]);
  assert.equal(ticks(0.3, 3), [0, 0.1, 0.2, 0.3]);
  assert.equal(ticks(1, 4), [0, 0.5, 1]);
  assert.is(showTime(250, 900), '250 ms');
  assert.is(showTime(1500, 5000), '1.5 s');
  assert.is(showTime(125_000, 300_000), '2:05 min');
});

test.run();

const CHROMIUM = '/usr/bin/chromium';
const browser = fileSuite(CHROMIUM, 'apt-get install chromium', 'heat page in a browser');

browser('it draws the map and the scale, without an error', () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-heat-'));
  const file = join(folder, 'page.html');
  writeFileSync(file, page());
  const dom = execFileSync(CHROMIUM, ['--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', `file://${file}`], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 60_000,
  });
  rmSync(folder, { recursive: true });
  // The legend's text is the last that the script does, after all drawing.
  assert.match(dom, /<canvas id="map"[^>]*style="height: \d+px;"/);
  assert.match(dom, /all 2,048 pages of a cell .* a cell is 8 MiB/);
});

browser.run();
