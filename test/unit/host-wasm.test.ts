// A WebAssembly program: its linear memory is guest RAM, and its imports are exits.

import { program, u32le, VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { notebook } from './run-program.ts';

const test = suite('host engine WebAssembly');
const text = (value: string): number[] => [value.length, ...new TextEncoder().encode(value)];

/** Imports env.memory and kvm.out, exports run(): atomically adds 5 to the word at 0x2000 and writes what was there to port 0x10. */
const adder = Uint8Array.from(
  [
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], //           magic, version 1
    [0x01, 0x0a, 0x02, 0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x00], //     type 0: (i32, i32, i32) → ()
    [0x60, 0x00, 0x00], //                                         type 1: () → ()
    [0x02, 0x1c, 0x02, ...text('env'), ...text('memory')],
    [0x02, 0x03, 0x01, 0x80, 0x80, 0x04], //                       a shared memory of 1 to 65536 pages
    [...text('kvm'), ...text('out'), 0x00, 0x00], //               function 0 has type 0
    [0x03, 0x02, 0x01, 0x01], //                                   function 1 has type 1
    [0x07, 0x07, 0x01, ...text('run'), 0x00, 0x01], //             export function 1
    [0x0a, 0x14, 0x01, 0x12, 0x00, 0x41, 0x10, 0x41, 0x04], //     its code: i32.const 0x10, i32.const 4
    [0x41, 0x80, 0xc0, 0x00, 0x41, 0x05], //                       i32.const 0x2000, i32.const 5
    [0xfe, 0x1e, 0x02, 0x00, 0x10, 0x00, 0x0b], //                 i32.atomic.rmw.add, call 0, end
  ].flat(),
);

test('guest RAM is its memory, and its imports are exits', async () => {
  const { device, written } = notebook({ pio: { base: 0x10, length: 4 } }, 0);
  await using vm = await VirtualMachine.create({
    memory: { size: 1 << 20, backing: 'wasm' },
    vcpus: 2,
    engine: 'host',
    devices: [device],
  });
  await vm.load(program(adder));
  vm.memory.writeObj(0x2000, u32le, 100);
  await vm.start();
  const { reason, error } = await vm.finished;

  assert.is(error, undefined);
  assert.is(reason, 'program-end');
  assert.is(vm.memory.readObj(0x2000, u32le), 110);
  assert.equal(written.sort(), [
    [0, 4, 100],
    [0, 4, 105],
  ]);
});

test('memory of another kind is refused, and says what to do', async () => {
  await using vm = await VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'host' });
  const loading = vm.load(program(adder));

  assert.is(await codeOf(loading), 'ERR_ENGINE');
  assert.match((await loading.catch(String)) as string, "backing: 'wasm'");
  assert.is((await vm.finished).reason, 'error');
});

test.run();
