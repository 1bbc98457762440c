// `node-kvm run --kernel`: the guest's console on standard output, standard input as its keyboard, exit status and marks by how it ended.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { nodeKvm, runScript } from '../command.ts';
import { BZIMAGE, GUEST_INITRD, initrdWith, linuxSuite, VMLINUX } from '../linux-guest.ts';

const test = linuxSuite('linux by the command');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-linux-'));
test.after(() => rmSync(folder, { recursive: true }));
const initrd = (job: string) => {
  const path = join(folder, 'initrd');
  writeFileSync(path, initrdWith(job));
  return path;
};

test('a shell that reads from standard input: power-off, status 0', async () => {
  const args = ['run', '--kernel', VMLINUX, '--initrd', GUEST_INITRD, '--cpus', '2', '--cmdline', 'quiet', '--stats'];
  const { status, stdout, stderr } = await nodeKvm(args, { input: 'echo sum=$((40 + 2))\nnproc\npoweroff -f\n' });
  assert.is(status, 0, stderr + stdout);
  assert.match(stdout, /^sum=42\r?$/m);
  assert.match(stdout, /^2\r?$/m);
  assert.match(stderr, /since create\(\) was called: .*init \d+/);
  assert.match(stderr, /node-kvm: power-off/);
});

test('a bzImage as the image, with --json: reset, status 0, marks', async () => {
  const { status, stdout, stderr } = await nodeKvm(['run', BZIMAGE, '--initrd', initrd('reboot -f'), '--json']);
  assert.is(status, 0, stderr + stdout);
  const report = JSON.parse(stdout);
  assert.equal([report.format, report.reason], ['linux', 'reset']);
  assert.ok(report.marksMs.init > report.marksMs.kernelStart);
  assert.match(report.console, /Linux version/);
});

test('a panic: status 1, said plainly', async () => {
  const job = 'load pvpanic_mmio; echo c > /proc/sysrq-trigger';
  const { status, stderr } = await nodeKvm(['run', '--kernel', VMLINUX, '--initrd', initrd(job)]);
  assert.is(status, 1, stderr);
  assert.match(stderr, /node-kvm: kernel panic of vCPU 0/);
});

test('the example linux-shell does the same through the API', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/linux-shell.js', [VMLINUX, GUEST_INITRD, '1'], {
    input: 'echo product=$((6 * 7))\npoweroff -f\n',
  });
  assert.is(status, 0, stderr + stdout);
  assert.match(stdout, /^product=42\r?$/m);
  assert.match(stderr, /its first process ran after \d+ ms/);
});

test.run();
