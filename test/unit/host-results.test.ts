// How a program on the host engine ends: its reason, and its error.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runProgram } from './run-program.ts';

const test = suite('host engine results');

test('all programs returned: program-end', async () => {
  assert.is((await runProgram('return')).reason, 'program-end');
});

test('all programs halted: halt', async () => {
  assert.is((await runProgram('halt')).reason, 'halt');
});

test('a program that throws: error, with the cause', async () => {
  const { reason, error, vcpu } = await runProgram('throw', { vcpus: 1 });

  assert.is(reason, 'error');
  assert.is(vcpu, 0);
  assert.is(error?.code, 'ERR_PROGRAM');
  assert.instance(error?.cause, RangeError);
  assert.match(error?.message ?? '', 'vCPU 0 of 1');
});

test('a port out of range is the program’s error', async () => {
  const { error } = await runProgram('bad-port', { vcpus: 1 });

  assert.is(error?.code, 'ERR_PROGRAM');
  assert.is((error?.cause as { code?: string } | undefined)?.code, 'ERR_OUT_OF_RANGE');
});

test('the deadline ends programs that do not end', async () => {
  assert.is((await runProgram('checkpoints', { deadlineMs: 50 })).reason, 'deadline');
});

test('the deadline ends even programs without exits', async () => {
  assert.is((await runProgram('spin', { deadlineMs: 50 })).reason, 'deadline');
});

test('a device may end the VM', async () => {
  const device = {
    name: 'power',
    pio: { base: 0x10, length: 1 },
    write: (_o: number, _s: number, _v: unknown, access: { end(reason: 'power-off'): void }) => access.end('power-off'),
  };

  assert.is((await runProgram('count', { devices: [device] })).reason, 'power-off');
});

test('a handler that throws ends the VM, even when the program catches it', async () => {
  const device = {
    name: 'broken',
    pio: { base: 0x10, length: 1 },
    write: () => {
      throw new Error('out of paper');
    },
  };
  const { reason, error } = await runProgram('swallow', { devices: [device] });

  assert.is(reason, 'error');
  assert.is(error?.code, 'ERR_DEVICE_HANDLER');
  assert.match(error?.message ?? '', "device 'broken' failed at port 0x10: out of paper");
});

test.run();
