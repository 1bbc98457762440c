// Code that KVM cannot run at all (fetched from an address where no memory is) is an internal error: the machine ends with the
// registers and what is known of the code, and the process lives.

import type { HypervisorError } from 'node-kvm';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { runGuest } from '../run-guest.ts';

const test = kvmSuite('internal error');

const intoNowhere = code(
  [0xbb, 0x78, 0x56, 0x34, 0x12], // mov ebx, 0x12345678
  [0xb8, 0x00, 0x00, 0x00, 0xd0], // mov eax, 0xd0000000
  [0xff, 0xe0], //                   jmp eax
);

test('the error has the registers in its message and as values', async () => {
  const result = await runGuest(intoNowhere, { mode: 32 });
  const error = result.error as HypervisorError;

  assert.is(result.reason, 'error');
  assert.is(result.vcpu, 0);
  assert.is(error.code, 'ERR_VCPU_INTERNAL');
  assert.match(error.message, '12345678');
  console.log(error.message, error.info);
});

test.run();
