// Lives of Linux guests besides the ordinary one: two at once, one that stands still for a while in the middle of its boot, one that is
// disposed of there.

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { bootLinux, FIRST_LINE, facts, linuxMachine, linuxSuite } from '../linux-guest.ts';
import { leftovers } from '../process-state.ts';

const test = linuxSuite('lives of linux');
const QUIET = 'console=ttyS0 panic=-1 quiet';

/** The kernel speaks: the boot is under way. */
async function midBoot(vm: VirtualMachine): Promise<void> {
  const first = once(vm.console, 'data');
  await vm.start();
  await first;
  assert.is(vm.marks.init, undefined);
}

test('two at once, each with its own disk', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-life-'));
  const name = (index: number) => `disk ${index}`.padEnd(16, '.');
  const disks = [0, 1].map(index => {
    const path = join(folder, String(index));
    writeFileSync(path, name(index).padEnd(4096, '\0'));
    return path;
  });
  const job = `load virtio_mmio; load virtio_blk
echo disk="$(head -c 16 /dev/vda)"
echo written by "$(head -c 6 /dev/vda)" | dd of=/dev/vda bs=512 seek=1 conv=notrunc,sync 2>/dev/null
sync`;
  try {
    const ends = await Promise.all(
      disks.map(path => bootLinux({ cmdline: QUIET, job, disks: [{ path, readOnly: false }] })),
    );
    for (const [index, { result, text }] of ends.entries()) {
      assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
      assert.is(facts(text).get('disk'), name(index), text);
    }
    for (const [index, path] of disks.entries())
      assert.match(readFileSync(path, 'latin1').slice(512), new RegExp(`^written by disk ${index}\n`));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('paused in the middle of the boot, several times: it stands still, then goes on to its end', async () => {
  await using vm = await linuxMachine({ vcpus: 2 });
  let text = '';
  vm.console.on('data', chunk => {
    text += chunk;
  });
  await midBoot(vm);
  for (let times = 0; times < 3; times += 1) {
    await vm.pause();
    assert.is(vm.state, 'paused');
    const { exits } = vm.stats().total;
    await new Promise(resolve => setTimeout(resolve, 200));
    assert.is(vm.stats().total.exits, exits);
    assert.is(vm.marks.init, undefined);
    const more = once(vm.console, 'data');
    await vm.resume();
    await more;
  }
  assert.is((await vm.finished).reason, 'power-off', text);
  await once(vm.console, 'close');
  assert.match(text, new RegExp(FIRST_LINE));
});

test('disposed of in the middle of the boot: nothing is left', async () => {
  const life = async () => {
    const vm = await linuxMachine({ vcpus: 2 });
    vm.console.resume();
    const ended = once(vm.console, 'close');
    await midBoot(vm);
    await vm[Symbol.asyncDispose]();
    assert.is((await vm.finished).reason, 'stopped');
    await ended;
  };
  // What Node keeps of the first worker is not ours.
  await life();
  const before = leftovers();
  await life();
  await life();
  const { fds, threads } = leftovers(before);
  assert.equal({ fds, threads }, { fds: 0, threads: 0 });
});

test.run();
