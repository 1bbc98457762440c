// `node-kvm run` of a Linux guest on a terminal: keys go to the guest one by one, Ctrl-C among them, Ctrl-A x ends it, and the terminal is as
// it was, also when a signal ends the command.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { fromRoot, nodeKvm } from '../command.ts';
import { echoKernel } from '../echo-kernel.ts';
import { fileSuite, hasKvm, kvmSuite } from '../harness.ts';

const SCRIPT = '/usr/bin/script';
const name = 'cli terminal';
/** What the guest says when it listens. */
const PROMPT = /^hi\r?$/m;
const test = hasKvm ? fileSuite(SCRIPT, 'apt-get install bsdutils', name) : kvmSuite(name);
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-terminal-'));
const kernel = join(folder, 'kernel');
writeFileSync(kernel, echoKernel());
test.after(() => rmSync(folder, { recursive: true }));

/** The terminal's modes before and after, the command's process id and its exit status are in the text too. */
function onTerminal(type: (text: string, send: (keys: string) => void) => void): Promise<string> {
  const cli = `"${process.execPath}" "${fromRoot('dist/cli.js')}" run --kernel "${kernel}" --memory 32M`;
  const command = `echo before=$(stty -g); sh -c 'echo pid=$$; exec ${cli}'; echo status=$?; echo after=$(stty -g)`;
  return new Promise((resolve, reject) => {
    const child = spawn(SCRIPT, ['-qefc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (data: string) => {
      text += data;
      type(text, keys => child.stdin.write(keys));
    });
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });
}

/** What the shell printed as `key=value`. */
const said = (text: string, key: string) => new RegExp(`${key}=(\\S+)`).exec(text)?.[1];

test('keys arrive, Ctrl-C too; Ctrl-A x ends the machine with status 0', async () => {
  let sent = 0;
  const text = await onTerminal((all, send) => {
    if (sent === 0 && PROMPT.test(all)) {
      sent = 1;
      send('abc\x03\x01\x01');
    } else if (sent === 1 && all.includes('abc\x03\x01')) {
      sent = 2;
      send('\x01x');
    }
  });
  assert.match(text, /Ctrl-A x ends the machine/);
  assert.is(sent, 2, text);
  assert.match(text, /node-kvm: stopped/);
  assert.match(text, /status=0/);
  assert.ok(said(text, 'before') !== undefined);
  assert.is(said(text, 'after'), said(text, 'before'));
});

for (const [signal, status] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test(`${signal}: status ${status}, and the terminal is as it was`, async () => {
    let killed = false;
    const text = await onTerminal(all => {
      if (killed || !PROMPT.test(all)) return;
      killed = true;
      process.kill(Number(said(all, 'pid')), signal);
    });
    assert.match(text, new RegExp(`status=${status}`));
    assert.is(said(text, 'after'), said(text, 'before'));
  });
}

test('without a terminal, input comes from a pipe, and a panic is said plainly: status 1', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', kernel, '--memory', '32M'], { input: 'pipe!' });
  assert.is(status, 1, stderr);
  assert.is(stdout, 'hi\npipe!');
  assert.match(stderr, /node-kvm: kernel panic of vCPU 0/);
});

test('--json has the console and the marks', async () => {
  const { status, stdout } = await nodeKvm(['run', kernel, '--memory', '32M', '--json'], { input: '!' });
  assert.is(status, 1);
  const { format, reason, console: text, marksMs } = JSON.parse(stdout);
  assert.equal([format, reason, text], ['linux', 'panic', 'hi\n!']);
  assert.ok(marksMs.init > marksMs.load);
});

test.run();
