// `node-kvm bench` without KVM: a run gives table, JSON and page; a scenario can be repeated; wrong usage ends with 2 and leaves no file;
// Ctrl-C keeps what was measured; two reports can be compared.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LabReport } from '../../src/main/lab/report.ts';
import { fromRoot, nodeKvm, WITHOUT_KVM } from '../command.ts';
import { labReport } from '../lab-report.ts';

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-bench-'));
const env = WITHOUT_KVM;
let names = 0;
const place = (extension: string) => join(folder, `${names++}.${extension}`);
const read = (path: string): LabReport => JSON.parse(readFileSync(path, 'utf8'));

function file(contents: object | string): string {
  const path = place('json');
  writeFileSync(path, typeof contents === 'string' ? contents : JSON.stringify(contents));
  return path;
}

/** As little as a scenario can ask for. */
const SMALL = ['--actors', 'js:1', '--sizes', '64K', '--quick', '--no-peers', '--seed', '7'];

const test = suite('cli bench');
test.after(() => rmSync(folder, { recursive: true }));

test('a run: table on standard output, JSON and page in files', async () => {
  const [json, html] = [place('json'), place('html')];
  const args = ['bench', 'stream/read', ...SMALL, '--json', json, '--html', html];
  const { status, stdout, stderr } = await nodeKvm(args, { env });
  assert.is(status, 0, stderr);
  assert.match(stdout, /^stream\/read 64 KiB, GB\/s$/m);
  assert.match(stdout, /^ {2}js:1 +\d/m);
  assert.match(stdout, /seed 7/);
  const { format, seed, rows, interrupted } = read(json);
  assert.is(format, 'node-kvm-lab/1');
  assert.is(seed, 7);
  assert.is(interrupted, false);
  assert.equal(
    rows.map(({ suite: name, workload, actors }) => [name, workload, actors]),
    [['stream', 'read', 'js:1']],
  );
  assert.ok((rows[0]?.ratio?.median ?? 0) > 0);
  assert.match(readFileSync(html, 'utf8'), /<h2 id="stream">stream<\/h2>/);
});

test('a scenario file says what to measure; options go before it', async () => {
  const json = place('json');
  const scenario = file({
    suites: ['stream/write'],
    actors: ['js:1'],
    sizes: ['64K'],
    visits: 5,
    repetitions: 1,
    seed: 1,
  });
  const { status, stderr } = await nodeKvm(
    ['bench', '--scenario', scenario, '--seed', '9', '--sizes', '128K', '--json', json],
    { env },
  );
  assert.is(status, 0, stderr);
  const { scenario: used } = read(json);
  assert.equal([used.seed, used.sizes, used.suites, used.visits], [9, [2 ** 17], ['stream/write'], 5]);
});

test('one file for both reports: refused before anything is measured', async () => {
  const both = place('both');
  const { status, stderr } = await nodeKvm(['bench', 'stream/read', ...SMALL, '--json', both, '--html', both]);
  assert.is(status, 2, stderr);
  assert.match(stderr, /--json and --html both name/);
  assert.not.ok(existsSync(both));
});

test('an actor that dies: status 1, and what could be measured is in the table and in both files, with what could not', async () => {
  const [json, html] = [place('json'), place('html')];
  // The first thread that the run starts ends at once.
  const fault = "process.once('worker', worker => worker.once('online', () => worker.terminate()))";
  const { status, stdout, stderr } = await nodeKvm(
    ['bench', 'stream/read', 'atomics/add', ...SMALL, '--json', json, '--html', html],
    { env: { ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(fault)}` } },
  );
  assert.is(status, 1, stderr);
  assert.match(stdout, /^FAILED: stream\/read \(js:1; 1 rows missing\): ERR_LAB_ACTOR/m);
  assert.match(stdout, /^1 rows, .*; 1 FAILED$/m);
  const { rows, failures } = read(json);
  assert.equal(
    rows.map(({ id }) => id),
    ['atomics/add/js:1'],
  );
  assert.equal(
    failures.map(({ code, rows: missing }) => [code, missing]),
    [['ERR_LAB_ACTOR', ['stream/read/js:1/bytes=65536']]],
  );
  assert.match(readFileSync(html, 'utf8'), /class="alarm">Not everything could be measured/);
});

test('Ctrl-C: status 130, and what was measured is in both files', async () => {
  const [json, html] = [place('json'), place('html')];
  const scenario = file({
    suites: ['stream'],
    actors: ['js:1'],
    sizes: ['64K'],
    visits: 1000,
    repetitions: 100,
    peers: false,
  });
  let sent = false;
  const { status, stdout, stderr } = await nodeKvm(['bench', '--scenario', scenario, '--json', json, '--html', html], {
    env,
    onStderr(text, kill) {
      if (sent || !text.includes('%')) return;
      sent = true;
      kill('SIGINT');
    },
  });
  assert.is(status, 130, stderr);
  assert.match(stdout, /INTERRUPTED/);
  assert.is(read(json).interrupted, true);
  assert.match(readFileSync(html, 'utf8'), /This run was interrupted/);
});

test('who reads the progress may go away: the run goes on, and its report is written', async () => {
  const json = place('json');
  const args = [fromRoot('dist/cli.js'), 'bench', 'stream/read', ...SMALL, '--json', json];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.destroy();
  const [status] = await once(child, 'exit');
  assert.is(status, 0);
  assert.is(read(json).rows.length, 1);
});

test('--list names every workload and litmus test with what it measures', async () => {
  const { status, stdout } = await nodeKvm(['bench', '--list'], { env });
  assert.is(status, 0);
  assert.match(stdout, /^stream\/triad +.*js.* \S/m);
  assert.match(stdout, /^exits\/storm .*needs KVM/m);
  assert.match(stdout, /^litmus\/SB +.*r0=0 r1=0/m);
});

test('--compare: a table, a page, and JSON with the verdicts', async () => {
  const [json, html] = [place('json'), place('html')];
  const [a, b] = [file(labReport()), file(labReport())];
  const { status, stdout, stderr } = await nodeKvm(['bench', '--compare', a, b, '--json', json, '--html', html], {
    env,
  });
  assert.is(status, 0, stderr);
  assert.match(stdout, /^ {2}wasm:1, 64 KiB .*= same$/m);
  assert.match(readFileSync(html, 'utf8'), /<h1>Comparison of/);
  const { counts, rows } = JSON.parse(readFileSync(json, 'utf8'));
  assert.is(counts.same + counts.doubtful, rows.length);
  assert.is(rows[0].a, undefined);
});

const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['an unknown suite', ['steam'], /'steam'.*ERR_LAB_SCENARIO/],
  ['an unknown kind of actor', ['--actors', 'python:1'], /python:1.*ERR_LAB_SCENARIO/],
  ['more actors than can be', ['--actors', 'js:4000'], /js:4000.*ERR_LAB_SCENARIO/],
  ['guests without KVM', ['--actors', 'guest:1'], /guest:1.*ERR_KVM_UNAVAILABLE/],
  ['a size that is none', ['--sizes', 'much'], /much.*ERR_LAB_SCENARIO/],
  ['an impossible size', ['--sizes', '999999G'], /999999G.*ERR_LAB_SCENARIO/],
  ['an unknown source', ['--sources', 'rumour'], /rumour.*ERR_LAB_SCENARIO/],
  ['an empty list', ['--sizes', '64K,'], /is no list/],
  ['no seed', ['--seed', '0'], /'0' is no seed/],
  ['a seed that is too large', ['--seed', '4294967296'], /is no seed/],
  ['a scenario that is not there', ['--scenario', join(folder, 'none.json')], /none\.json.*cannot be read/],
  ['a scenario that is no JSON', ['--scenario', file('{')], /cannot be read/],
  ['a scenario that is no object', ['--scenario', file('[]')], /no JSON object/],
  ['an unknown key in a scenario', ['--scenario', file({ sise: 1 })], /'sise'.*ERR_LAB_SCENARIO/],
  ['one report to compare', ['--compare', file(labReport())], /takes two reports/],
  ['a comparison with something else', ['--compare', file(labReport()), file({})], /no report of/],
  ['a comparison that measures', ['--compare', 'a', 'b', '--quick'], /--quick has no meaning/],
  ['a list of actors', ['--list', '--actors', 'js:1'], /--actors has no meaning/],
  ['a folder for a file', ['--html', folder], /is a directory/],
];
for (const [name, args, message] of wrong) {
  test(`${name}: status 2, no file`, async () => {
    const json = place('json');
    const before = readdirSync(folder);
    const writing = args.includes('--list') ? [] : ['--json', json];
    const { status, stdout, stderr } = await nodeKvm(['bench', ...args, ...writing], { env });
    assert.is(status, 2, stderr);
    assert.is(stdout, '');
    assert.match(stderr, message);
    assert.is(existsSync(json), false);
    assert.equal(readdirSync(folder), before);
  });
}

test.run();
