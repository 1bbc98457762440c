// An I/O worker that does not come up: load() says so, and the end of the machine ends the worker, whatever it does.

import { deviceModule, flat, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('I/O worker that does not start');

const module = new URL('./devices/not-starting.js', import.meta.url);
const image = flat(code([0xf4]), { at: 0x8000, mode: 64 }); // hlt

function create(name: string): Promise<VirtualMachine> {
  const device = deviceModule(module, { name, pio: { base: 0x10, length: 4 }, where: 'io' });
  return VirtualMachine.create({ memory: 4 << 20, vcpus: 1, engine: 'kvm', devices: [device] });
}

const codeOf = (load: Promise<void>): Promise<string> =>
  load.then(
    () => 'loaded',
    error => error.code,
  );

test('its thread ends', async () => {
  await using vm = await create('exits');

  assert.is(await codeOf(vm.load(image)), 'ERR_DEVICE_HANDLER');
  assert.is((await vm.finished).error?.code, 'ERR_DEVICE_HANDLER');
});

test('its thread never comes back, and the machine is disposed of', async () => {
  const vm = await create('hangs');
  const started = new Promise(resolve => process.once('worker', resolve));
  const load = codeOf(vm.load(image));
  await started;
  await vm[Symbol.asyncDispose]();

  // The file itself would not end if the worker stayed.
  assert.is(await load, 'ERR_STATE');
});

test.run();
