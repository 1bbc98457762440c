// vm.console: the serial port of a Linux guest's machine, wired to IRQ 4; the short form of create(); marks; a panic's own result.

import { once } from 'node:events';
import { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { echoKernel } from '../echo-kernel.ts';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';

const test = kvmSuite('vm console');
const options = { memory: 32 << 20, vcpus: 1, deadlineMs: 10_000 * slowness } as const;

test('what is written raises the interrupt and comes back; the stream ends with the guest; a panic is the result', async () => {
  await using vm = await VirtualMachine.create({ ...options, kernel: echoKernel() });
  assert.is(vm.state, 'loaded');
  const opened = once(vm.console, 'open');
  await vm.start();
  await opened;
  let text = '';
  const reading = (async () => {
    for await (const chunk of vm.console) text += chunk;
  })();
  vm.console.write('one by one!');
  assert.is((await vm.finished).reason, 'panic');
  await reading;
  assert.is(text, 'hi\none by one!');
  const { create = -1, load = -1, firstInstruction = -1, kernelStart = -1, init = -1 } = vm.marks;
  const order = [0, create, load, firstInstruction, kernelStart, init];
  assert.equal(
    order,
    [...order].sort((a, b) => a - b),
  );
});

test('while the machine is paused a writer waits, and loses nothing', async () => {
  await using vm = await VirtualMachine.create({ ...options, kernel: echoKernel() });
  const chunks: Buffer[] = [];
  vm.console.on('data', chunk => chunks.push(chunk));
  await vm.start();
  await once(vm.console, 'open');
  await vm.pause();
  const sent = 'x'.repeat(1000);
  let taken = false;
  vm.console.write(sent, () => {
    taken = true;
  });
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.not(taken);
  assert.ok(vm.console.writableLength > 0);
  await vm.resume();
  vm.console.write('!');
  assert.is((await vm.finished).reason, 'panic');
  await once(vm.console, 'close');
  assert.ok(taken);
  assert.is(Buffer.concat(chunks).toString(), `hi\n${sent}!`);
});

test("a device of the user's at the port's place: no console", async () => {
  const bytes: number[] = [];
  const own = {
    name: 'own port',
    pio: { base: 0x3f8, length: 8 },
    write(offset: number, _size: number, value: number | bigint) {
      if (offset === 0) bytes.push(Number(value));
    },
  };
  await using vm = await VirtualMachine.create({ ...options, kernel: echoKernel(), devices: [own] });
  assert.is(await codeOf(() => vm.console), 'ERR_STATE');
  await vm.start();
  while (bytes.length < 3) await new Promise(resolve => setTimeout(resolve, 10));
  await vm.stop();
  assert.is(Buffer.from(bytes).toString(), 'hi\n');
});

test('a machine without a Linux guest has no console', async () => {
  await using vm = await VirtualMachine.create(options);
  assert.is(await codeOf(() => vm.console), 'ERR_STATE');
});

test('wrong options are refused before anything is made, and a bad kernel leaves nothing behind', async () => {
  const refused = (more: object) => codeOf(() => VirtualMachine.create({ ...options, ...more }));
  assert.is(await refused({ initrd: 'x' }), 'ERR_OUT_OF_RANGE');
  assert.is(await refused({ cmdline: 'x' }), 'ERR_OUT_OF_RANGE');
  assert.is(await refused({ kernel: 5 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await refused({ kernel: echoKernel(), cmdline: 5 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await refused({ kernel: new Uint8Array(2048) }), 'ERR_IMAGE_FORMAT');
  assert.is(await refused({ kernel: '/nonexistent/vmlinux' }), 'ERR_IMAGE_READ');
});

test.run();
