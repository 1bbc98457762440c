// How a Linux guest ends besides power-off: reboot, a panic that its kernel reports, one that it does not, and a stop in the middle of the boot.

import { once } from 'node:events';
import * as assert from 'uvu/assert';
import { bootLinux, linuxMachine, linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux ends');
const QUIET = 'console=ttyS0 panic=-1 quiet';

test('reboot ends with a reset', async () => {
  const { result, text } = await bootLinux({ vcpus: 2, cmdline: QUIET, job: 'reboot -f' });
  assert.is(result.reason, 'reset', `${result.error?.message}\n${text}`);
});

test('a panic has a result of its own', async () => {
  const job = 'load pvpanic_mmio; echo c > /proc/sysrq-trigger';
  const { result, text } = await bootLinux({ vcpus: 2, cmdline: QUIET, job });
  assert.is(result.reason, 'panic', `${result.error?.message}\n${text}`);
  assert.match(text, /Kernel panic - not syncing/);
});

test('a panic before the driver is there: what panic= makes of it, a reset', async () => {
  const { result, text } = await bootLinux({ cmdline: QUIET, job: 'exit 3' });
  assert.is(result.reason, 'reset', `${result.error?.message}\n${text}`);
  assert.match(text, /Attempted to kill init/);
});

test('a stop in the middle of the boot: stopped, and the console ends', async () => {
  await using vm = await linuxMachine({ vcpus: 2, job: 'true' });
  vm.console.resume();
  const ended = once(vm.console, 'end');
  await vm.start();
  while (vm.marks.kernelStart === undefined) await new Promise(resolve => setTimeout(resolve, 20));
  await vm.stop();
  assert.is((await vm.finished).reason, 'stopped');
  assert.is(vm.marks.init, undefined);
  await ended;
});

test.run();
