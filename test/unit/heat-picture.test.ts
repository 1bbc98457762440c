// The heat map as text: it fits the terminal, shows holes, glows and fades; what the guest prints cannot steer the terminal.

import { stripVTControlCharacters } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GIB, PAGE_SIZE } from '../../shared/units.ts';
import { LEVELS, levelOf, rampOf } from '../../src/main/cli/heat-colours.ts';
import { ConsoleTail } from '../../src/main/cli/heat-console.ts';
import { HeatPicture } from '../../src/main/cli/heat-picture.ts';
import { HeatRecord } from '../../src/main/cli/heat-record.ts';
import { headerLines, StripLines } from '../../src/main/cli/heat-text.ts';

const test = suite('heat picture');
const MEMORY = [{ guestAddr: 0, size: 64 * PAGE_SIZE }];
const WITH_HOLE = [
  { guestAddr: 0, size: 3 * GIB },
  { guestAddr: 4 * GIB, size: GIB },
];
const range = (first: number, count: number) => Float64Array.of(first * PAGE_SIZE, count * PAGE_SIZE);

for (const depth of ['none', '256', 'true'] as const) {
  for (const size of [
    { columns: 80, lines: 13 },
    { columns: 200, lines: 50 },
    { columns: 20, lines: 4 },
  ]) {
    test(`depth ${depth}, ${size.columns} × ${size.lines}: it fits, and every cell is there`, () => {
      const picture = new HeatPicture(WITH_HOLE, size, depth);
      const lines = picture.lines().map(stripVTControlCharacters);
      assert.ok(lines.length <= size.lines, `${lines.length} lines`);
      for (const line of lines) assert.ok(line.length <= size.columns, line);
      assert.is(lines.filter(line => line.includes('-- hole')).length, 1);
      assert.match(lines[0] ?? '', /^ *0x00000000 /);
      assert.ok(lines.some(line => /^ *0x100000000 /.test(line)));
      const drawn = lines.join('').match(/[▀·]/g)?.length ?? 0;
      const cells = (4 * GIB) / picture.cellBytes;
      assert.ok(depth === 'none' ? drawn === cells : drawn >= cells / 2, `${drawn} of ${cells}`);
    });
  }
}

test('in characters: a page glows where it is, and fades', () => {
  const picture = new HeatPicture(MEMORY, { columns: 75, lines: 1 }, 'none');
  const map = () => picture.lines()[0]?.slice(11) ?? '';
  assert.is(map(), '·'.repeat(64));
  picture.add(range(5, 1), 100);
  assert.is(map(), `${'·'.repeat(5)}@${'·'.repeat(58)}`);
  picture.add(new Float64Array(), 400);
  assert.match(map(), /^·{5}[^·@]·{58}$/);
  picture.add(new Float64Array(), 10_000);
  assert.is(map(), '·'.repeat(64));
});

test('in colour: the cell has the hottest colour, above or below', () => {
  const picture = new HeatPicture(MEMORY, { columns: 43, lines: 1 }, 'true');
  picture.add(range(33, 1), 100);
  const cells = picture.lines()[0]?.split('▀') ?? [];
  assert.match(cells[1] ?? '', /48;2;252;252;170m/);
  assert.not.match(cells[0] ?? '', /252;252;170/);
});

test('levels rise with the pages; clean is level 0 alone; the ramp has a character for each', () => {
  assert.is(levelOf(0, 32), 0);
  const levels = Array.from({ length: 32 }, (_, index) => levelOf(index + 1, 32));
  assert.ok((levels[0] ?? 0) >= 1);
  assert.is(levels.at(-1), LEVELS - 1);
  assert.equal(
    levels,
    [...levels].sort((a, b) => a - b),
  );
  assert.is(levelOf(1, 1), LEVELS - 1);
  for (let level = 0; level < LEVELS; level++) assert.is(rampOf(level).length, 1);
});

test('header lines are never wider than the terminal, whatever the image is called', () => {
  const record = new HeatRecord(MEMORY, 100);
  record.add(range(0, 3), 0, 100);
  const watched = {
    image: `\x1b[2J${'x'.repeat(300)}`,
    engine: 'kvm',
    vcpus: 2,
    memoryBytes: GIB,
    source: 'bitmap',
  } as const;
  for (const columns of [20, 80, 200]) {
    for (const line of headerLines(watched, record, { total: 5, perSecond: 1 }, columns)) {
      assert.ok(line.length <= columns);
      assert.not.match(line, /\p{Cc}/u);
    }
  }
});

test('an interval as a line: numbers, and a strip with a mark between stretches', () => {
  const record = new HeatRecord(WITH_HOLE, 100);
  const lines = new StripLines(record, 64);
  const ranges = range(0, 512);
  record.add(ranges, 0, 250);
  assert.match(lines.line(ranges), /^ +0\.25 s +512 +2,048 +512 {2}\|[^·|]·{47}\|·{16}\|$/);
});

test('the console is shown in whole, harmless lines, of bounded number and length', () => {
  const tail = new ConsoleTail();
  for (const byte of Buffer.from('\x1b[2J\x1b]0;title\x07one\r\ntwo\tthree \u0007é中\nopen')) tail.byte(byte);
  assert.equal(tail.last(9), ['one', 'two three ·é·', 'open']);
  assert.equal(tail.takeFresh(), ['one', 'two three ·é·']);
  assert.equal(tail.takeFresh(), []);
  for (let n = 0; n < 500_000; n++) tail.byte(0x61);
  assert.ok(tail.last(1000).length <= 101);
  assert.ok(tail.last(1000).every(line => line.length <= 1024));
});

test.run();
