// `node-kvm heat` on a terminal: the picture has a screen of its own, and the terminal is as it was afterwards.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { fromRoot, WITHOUT_KVM } from '../command.ts';
import { fileSuite } from '../harness.ts';

const SCRIPT = '/usr/bin/script';
const test = fileSuite(SCRIPT, 'apt-get install bsdutils', 'cli heat on a terminal');

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-heat-'));
test.after(() => rmSync(folder, { recursive: true }));
const program = join(folder, 'forever.mjs');
writeFileSync(
  program,
  'export function run(context) { for (;;) { context.memory.write(0x5000, Uint8Array.of(1)); context.checkpoint(); } }',
);

/** What a terminal gets from a watch of less than a second. */
function onTerminal(environment: Readonly<Record<string, string>>): Promise<string> {
  const command = `'${process.execPath}' '${fromRoot('dist/cli.js')}' heat '${program}' --memory 16M --seconds 0.6`;
  return new Promise((resolve, reject) => {
    const child = spawn(SCRIPT, ['-qefc', command, '/dev/null'], {
      // Node takes a terminal under CI for one of few colours.
      env: { ...process.env, ...WITHOUT_KVM, CI: undefined, TERM: 'xterm-256color', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (data: string) => {
      text += data;
    });
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });
}

test('the picture is drawn on a screen of its own, which is given back with the cursor', async () => {
  const text = await onTerminal({ COLORTERM: 'truecolor' });
  const entered = text.indexOf('\x1b[?1049h');
  const left = text.indexOf('\x1b[?1049l');
  assert.ok(entered >= 0 && left > entered);
  assert.is(text.lastIndexOf('\x1b[?25h') > text.lastIndexOf('\x1b[?25l'), true, 'the cursor is back');
  assert.match(text.slice(entered, left), /0x00000000 \p{Cc}\[38;2;.*▀/u);
  assert.match(text.slice(left), /pages written during the whole run/);
  assert.is(text.slice(left).includes('\x1b[?2026h'), false);
});

test('NO_COLOR: characters, and no colour', async () => {
  const text = await onTerminal({ NO_COLOR: '1' });
  assert.match(text, /0x00000000 [:\-=+*#%@]·/);
  assert.not.match(text, /\[[34]8;/);
});

test('a terminal that cannot move its cursor gets lines', async () => {
  const text = await onTerminal({ TERM: 'dumb' });
  assert.match(text, /memory from 0 up/);
  assert.is(text.includes('\x1b'), false);
});

test.run();
