// `node-kvm heat` with programs, which need no KVM: lines, JSON, the page, wrong usage before anything runs, signals.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeKvm, WITHOUT_KVM } from '../command.ts';

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-heat-'));
const env = WITHOUT_KVM;
let files = 0;

function file(name: string, contents: string): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

/** A place for a page, in a folder of its own: what else is left there is to be seen. */
function pagePlace(): string {
  const own = join(folder, `pages-${files++}`);
  mkdirSync(own);
  return join(own, 'heat.html');
}

/** Writes 100 pages from 1 MiB on, prints, and returns. */
const writer = file(
  'writer.mjs',
  `export function run(context) {
     for (let page = 0; page < 100; page++) context.memory.write(0x100000 + page * 4096, Uint8Array.of(1));
     for (const byte of Buffer.from('\\x1b[2Jdone\\n')) context.out(0xe9, 1, byte);
   }`,
);
/** Writes one page again and again, and says so. */
const forever = file(
  'forever.mjs',
  `export function run(context) {
     context.out(0xe9, 1, 0x2e);
     context.out(0xe9, 1, 0x0a);
     for (;;) { context.memory.write(0x5000, Uint8Array.of(1)); context.checkpoint(); }
   }`,
);

const test = suite('cli heat');
test.after(() => rmSync(folder, { recursive: true }));

test('--json: every interval, with counts that are those of the writes', async () => {
  const { status, stdout, stderr } = await nodeKvm(['heat', writer, '--memory', '16M', '--source', 'host', '--json'], {
    env,
  });
  assert.is(status, 0, stderr);
  const { reason, console: printed, heat } = JSON.parse(stdout);
  assert.is(reason, 'program-end');
  assert.match(printed, /done/);
  assert.is(heat.source, 'host');
  assert.is(heat.pagesWritten, 100);
  const cells = heat.intervals.flatMap((interval: { cells: [number, number][] }) => interval.cells);
  assert.is(
    cells.reduce((sum: number, [, pages]: [number, number]) => sum + pages, 0),
    heat.pagesHarvested,
  );
  assert.ok(cells.every(([address]: [number, number]) => address >= 0x10_0000 && address < 0x16_4000));
  assert.is(heat.regions[0].pagesWritten, 100);
});

test('what is no terminal gets a line per interval; the console comes as harmless lines', async () => {
  const { status, stdout, stderr } = await nodeKvm(['heat', writer, '--memory', '16M', '--source', 'host'], { env });
  assert.is(status, 0, stderr);
  assert.match(stdout, /^guest: done$/m);
  assert.match(stdout, /^ +\d+\.\d\d s .*\|.+\|$/m);
  assert.is(stdout.includes('\x1b'), false);
  assert.match(stderr, /100 pages \(400 KiB\) written/);
  assert.match(stderr, /source host, not seen: raw/);
});

test('the source that is chosen without being named sees as many pages', async () => {
  const { status, stdout, stderr } = await nodeKvm(['heat', writer, '--memory', '16M', '--json'], { env });
  assert.is(status, 0, stderr);
  const { heat } = JSON.parse(stdout);
  assert.ok(['pagemap', 'host'].includes(heat.source));
  assert.is(heat.pagesWritten, 100);
});

test('--html: a page, and nothing else in its folder', async () => {
  const place = pagePlace();
  const { status, stderr } = await nodeKvm(['heat', writer, '--memory', '16M', '--html', place], { env });
  assert.is(status, 0, stderr);
  assert.match(readFileSync(place, 'utf8'), /<h1>Memory heat of writer\.mjs<\/h1>/);
  assert.equal(readdirSync(join(place, '..')), ['heat.html']);
});

for (const [name, args, message] of [
  ['a page in a folder that is not there', ['--html', join(folder, 'none', 'heat.html')], /cannot be written.*ENOENT/],
  ['a page that is a folder', ['--html', folder], /cannot be written: it is a directory/],
  ['no interval', ['--every', '0'], /'0' is no interval/],
  ['a part of a millisecond', ['--every', '1.5'], /'1.5' is no interval/],
  ['an unknown source', ['--source', 'guess'], /Allowed choices/],
  ['no time', ['--seconds', '0'], /'0' is no time/],
  ['an unknown option', ['--stats'], /unknown option/],
] as const) {
  test(`${name}: status 2, and the program never ran`, async () => {
    const { status, stdout, stderr } = await nodeKvm(['heat', forever, ...args], { env });
    assert.is(status, 2, stderr);
    assert.is(stdout, '');
    assert.match(stderr, message);
  });
}

test('an image that cannot be read: status 1, and no page is left behind', async () => {
  const place = pagePlace();
  const { status, stderr } = await nodeKvm(['heat', join(folder, 'none'), '--html', place], { env });
  assert.is(status, 1);
  assert.match(stderr, /ERR_IMAGE_READ/);
  assert.equal(readdirSync(join(place, '..')), []);
});

test('--seconds ends the watch, and that is no failure; --timeout is one', async () => {
  const watched = await nodeKvm(['heat', forever, '--seconds', '0.3', '--every', '50', '--json'], { env });
  assert.is(watched.status, 0, watched.stderr);
  assert.is(JSON.parse(watched.stdout).heat.pagesWritten, 1);
  const limited = await nodeKvm(['heat', forever, '--timeout', '0.3', '--json'], { env });
  assert.is(limited.status, 1);
  assert.is(JSON.parse(limited.stdout).reason, 'deadline');
});

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal}: status ${expected}, and the page has what was recorded`, async () => {
    const place = pagePlace();
    let sent = false;
    const { status, stderr } = await nodeKvm(['heat', forever, '--every', '20', '--html', place], {
      env,
      onStdout: (text, kill) => {
        if (sent || !/^ +\d.*[^·|]·*\|$/m.test(text)) return;
        sent = true;
        kill(signal);
      },
    });
    assert.is(status, expected, stderr);
    assert.match(stderr, new RegExp(`stopped by ${signal}`));
    assert.match(readFileSync(place, 'utf8'), /<td class="number">1 \(/);
    assert.equal(readdirSync(join(place, '..')), ['heat.html']);
  });
}

test.run();
