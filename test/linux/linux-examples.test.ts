// The examples that boot Linux: a shell on the console, a command by vsock, and a device of one's own that Debian's driver finds.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { facts, GUEST_INITRD, initrdWith, linuxSuite, VMLINUX } from '../linux-guest.ts';
import { seededBytes } from '../seeded-rng.ts';

const test = linuxSuite('linux examples');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-linux-'));
test.after(() => rmSync(folder, { recursive: true }));

test('linux-shell: a conversation on standard input and output, power-off, status 0', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/linux-shell.js', [VMLINUX, GUEST_INITRD, '1'], {
    input: 'echo product=$((6 * 7))\npoweroff -f\n',
  });
  assert.is(status, 0, stderr + stdout);
  assert.match(stdout, /^product=42\r?$/m);
  assert.match(stderr, /its first process ran after \d+ ms/);
});

test('linux-exec: input, output, errors and status of a command are the process’s own', async () => {
  // More output than a socket's buffers take at once, and then some words.
  const command = 'read -r line; seq 100000; echo "heard $line, I am $$"; echo oops >&2; exit 7';
  const { status, stdout, stderr } = await runScript('build/examples/linux-exec.js', [VMLINUX, GUEST_INITRD, command], {
    input: 'what was typed\n',
  });
  assert.is(status, 7, stderr);
  assert.is(stderr, 'oops\n');
  const lines = stdout.trimEnd().split('\n');
  assert.equal(
    lines.slice(0, -1),
    Array.from({ length: 100_000 }, (_, index) => String(index + 1)),
  );
  assert.match(lines.at(-1) ?? '', /^heard what was typed, I am \d+$/);
});

test('custom-device: /dev/hwrng of a guest gives what the seed says', async () => {
  const initrd = join(folder, 'initrd');
  const job = `
load virtio_mmio; load virtio_rng
echo current=$(cat /sys/class/misc/hw_random/rng_current)
echo bytes=$(head -c 16 /dev/hwrng | hexdump -v -e '1/1 "%02x"')
`;
  writeFileSync(initrd, initrdWith(job));
  const { status, stdout, stderr } = await runScript('build/examples/custom-device.js', ['a seed', VMLINUX, initrd]);
  assert.is(status, 0, stderr + stdout);
  assert.match(facts(stdout).get('current') ?? '', /^virtio_rng/);
  const bytes = Buffer.from(facts(stdout).get('bytes') ?? '', 'hex');
  assert.is(bytes.length, 16, stdout);
  // The kernel has taken some before, for itself.
  assert.ok(seededBytes('a seed', 1 << 20).includes(bytes), stdout);
});

test.run();
