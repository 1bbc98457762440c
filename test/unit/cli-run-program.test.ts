// `node-kvm run` with programs, which need no KVM: console, result line, JSON, timeout, Ctrl-C.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeKvm, WITHOUT_KVM } from '../command.ts';

const test = suite('cli run program');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-cli-'));
test.after(() => rmSync(folder, { recursive: true }));
const env = WITHOUT_KVM;

function file(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

const hello = file(
  'hello.mjs',
  "export function run(context) { for (const byte of Buffer.from('hello\\n')) context.out(0xe9, 1, byte); }",
);
const powerOff = file('power-off.mjs', 'export function run(context) { context.out(0x604, 2, 0x2000); }');
const forever = file(
  'forever.mjs',
  `export function run(context) { context.out(0xe9, 1, 0x2e); for (;;) context.checkpoint(); }`,
);
const broken = file('broken.mjs', `export function run() { throw new Error('broken on purpose'); }`);
/** (module (func (export "run"))) */
const wasm = file(
  'empty.wasm',
  Uint8Array.of(
    0,
    0x61,
    0x73,
    0x6d,
    1,
    0,
    0,
    0,
    1,
    4,
    1,
    0x60,
    0,
    0,
    3,
    2,
    1,
    0,
    7,
    7,
    1,
    3,
    0x72,
    0x75,
    0x6e,
    0,
    0,
    10,
    4,
    1,
    2,
    0,
    0x0b,
  ),
);

test('the console is standard output, the result is one line on standard error', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', hello], { env });
  assert.is(status, 0, stderr);
  assert.is(stdout, 'hello\n');
  assert.match(stderr, /^node-kvm: end of the program .* 1 vCPU on engine host, .*\n$/);
});

test('WebAssembly runs too', async () => {
  const { status, stderr } = await nodeKvm(['run', wasm, '--cpus', '2', '--memory', '1M'], { env });
  assert.is(status, 0, stderr);
});

test('--json: one object, with the console in it', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', hello, '--json', '--trace'], { env });
  assert.is(status, 0, stderr);
  assert.is(stderr, '');
  const report = JSON.parse(stdout);
  assert.is(report.console, 'hello\n');
  assert.is(report.reason, 'program-end');
  assert.is(report.engine, 'host');
  assert.is(report.stats.total.exits, 6);
  assert.is(report.trace.exits.length, 6);
  assert.is(report.trace.exits[0].value, '0x68');
});

test('--trace and --stats go to standard error', async () => {
  const { stdout, stderr } = await nodeKvm(['run', hello, '--trace', '--stats'], { env });
  assert.is(stdout, 'hello\n');
  assert.match(stderr, /vCPU 0 io write 0xe9 size 1 = 0x68/);
  assert.match(stderr, /handed to another thread/);
});

test('a program that powers off: status 0', async () => {
  const { status, stderr } = await nodeKvm(['run', powerOff], { env });
  assert.is(status, 0, stderr);
  assert.match(stderr, /power-off/);
});

test('a program that throws: status 1, and its message', async () => {
  const { status, stderr } = await nodeKvm(['run', broken], { env });
  assert.is(status, 1);
  assert.match(stderr, /broken on purpose.*ERR_PROGRAM/);
});

test('--timeout ends it with status 1', async () => {
  const { status, stderr } = await nodeKvm(['run', forever, '--timeout', '0.3'], { env });
  assert.is(status, 1);
  assert.match(stderr, /timeout/);
});

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} stops it in order: status ${expected}`, async () => {
    let sent = false;
    const { status, stderr } = await nodeKvm(['run', forever], {
      env,
      onStdout: (_text, kill) => {
        if (!sent) kill(signal);
        sent = true;
      },
    });
    assert.is(status, expected, stderr);
    assert.match(stderr, new RegExp(`stopped by ${signal}`));
  });
}

test('--json: a failure before the start is JSON too', async () => {
  const { status, stdout } = await nodeKvm(['run', join(folder, 'none'), '--json'], { env });
  assert.is(status, 1);
  assert.is(JSON.parse(stdout).error.code, 'ERR_IMAGE_READ');
});

test('a guest image without KVM: status 1, and how to get KVM', async () => {
  const { status, stderr } = await nodeKvm(['run', file('flat.bin', Uint8Array.of(0xf4))], { env });
  assert.is(status, 1);
  assert.match(stderr, /ERR_KVM_UNAVAILABLE/);
});

test.run();
