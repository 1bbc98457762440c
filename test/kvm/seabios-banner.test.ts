// Debian's SeaBIOS, which nobody here wrote, from the reset vector in real mode: its debug output reaches the user.

import { bios, VirtualMachine, type VmResult } from 'node-kvm';
import * as assert from 'uvu/assert';
import { fileSuite, hasKvm, kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';

const BIOS = '/usr/share/seabios/bios-256k.bin';
const test = hasKvm ? fileSuite(BIOS, 'apt-get install seabios', 'seabios banner') : kvmSuite('seabios banner');

/** Runs until a line matches `last`; gives all lines up to it. */
async function boot(vcpus: number, last: RegExp): Promise<{ lines: string[]; result: VmResult }> {
  const lines: string[] = [];
  const controller = new AbortController();
  await using vm = await VirtualMachine.create({
    memory: 64 << 20,
    vcpus,
    engine: 'kvm',
    deadlineMs: 100_000 * slowness,
    signal: controller.signal,
  });
  const onDebug = (line: string) => {
    lines.push(line);
    if (last.test(line)) controller.abort();
  };
  await vm.load(bios(BIOS, { onDebug }));
  await vm.start();
  return { result: await vm.finished, lines };
}

test('the banner comes first', async () => {
  const { lines, result } = await boot(1, /^BUILD:/);
  assert.is(result.reason, 'stopped', result.error?.message ?? lines.join('\n'));
  assert.match(lines[0] ?? '', /^SeaBIOS \(version .+\)$/);
});

test('it sees RAM and both vCPUs, moves into unlocked RAM, and looks for a disk', async () => {
  const { lines, result } = await boot(2, /^No bootable device/);
  const text = lines.join('\n');
  assert.is(result.reason, 'stopped', result.error?.message ?? text);
  assert.match(text, /RamSize: 0x04000000/);
  assert.match(text, /Found 2 cpu\(s\)/);
  assert.not.match(text, /Unable to unlock ram/);
});

test.run();
