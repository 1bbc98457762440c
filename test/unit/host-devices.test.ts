// A program's ports and MMIO reach devices in every size and both directions, and are counted.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadProgram, notebook } from './run-program.ts';

const test = suite('host engine devices');

test('every size, both directions, unclaimed accesses', async () => {
  const ports = notebook({ pio: { base: 0x0c, length: 8 } }, 0x1_ffff_fffe);
  const memory = notebook({ mmio: { base: 0xcfff_fff0, length: 0x20 } }, 0xfedc_ba98_7654_3210n);
  await using vm = await loadProgram('devices', { vcpus: 1, devices: [ports.device, memory.device] });
  await vm.start();
  const { error } = await vm.finished;
  assert.is(error, undefined);

  assert.equal(ports.written, [
    [4, 1, 0xef],
    [4, 2, 0xcdef],
    [4, 4, 0x89abcdef],
  ]);
  assert.equal(memory.written, [
    [0x10, 1, 0xef],
    [0x10, 2, 0xcdef],
    [0x10, 4, 0x89abcdef],
    [0x10, 8, 0x0123_4567_89ab_cdefn],
  ]);
  const read = new BigUint64Array(9);
  vm.memory.read(0x1000, new Uint8Array(read.buffer));
  assert.equal(Array.from(read), [
    ...[0xfen, 0xfffen, 0xffff_fffen], //                       masked to the size of the access
    ...[0x10n, 0x3210n, 0x7654_3210n, 0xfedc_ba98_7654_3210n],
    ...[0xffffn, 0xffff_ffff_ffff_ffffn], //                    nobody there: all ones
  ]);
  const { total } = vm.stats();
  assert.is(total.unclaimed, 2);
  assert.equal(total.exitsByReason, { io: 7, mmio: 9 });
  assert.is(total.handovers, 14);
  assert.is(
    total.handlingHistogram.reduce((sum, count) => sum + count, 0),
    16,
  );
});

test('a trace has every exit', async () => {
  await using vm = await loadProgram('devices', { vcpus: 1, trace: true });
  await vm.start();
  await vm.finished;
  const { records, lost } = vm.drainTrace();

  assert.is(lost, 0);
  assert.is(records.length, 16);
  const { reason, addr, size, write, value } = records[6] ?? {};
  assert.equal(
    { reason, addr, size, write, value },
    { reason: 'mmio', addr: 0xd000_0000, size: 8, write: true, value: 0x0123_4567_89ab_cdefn },
  );
});

test.run();
