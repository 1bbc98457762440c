// What KVM cannot run is an internal error: the machine ends with the registers and the code bytes, and the process lives.

import type { HypervisorError } from 'node-kvm';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { CODE, type Result, runGuest } from '../run-guest.ts';

const test = kvmSuite('internal error');

interface Dump {
  readonly vcpu: number;
  readonly suberror: number;
  readonly regs: { readonly rip: bigint; readonly rbx: bigint };
  readonly sregs: { readonly cs: { readonly base: bigint } };
  readonly code: Uint8Array | undefined;
}

/** The facts of the error that must have ended the machine. */
function dumpOf(result: Result): Dump {
  const error = result.error as HypervisorError;
  assert.is(result.reason, 'error');
  assert.is(result.vcpu, 0);
  assert.is(error.code, 'ERR_VCPU_INTERNAL');
  assert.match(error.message, /rbx +0000000012345678/);
  return error.info as unknown as Dump;
}

/** Jumps to where no memory is: no KVM runs code from there. */
const intoNowhere = code(
  [0xbb, 0x78, 0x56, 0x34, 0x12], // mov ebx, 0x12345678
  [0xb8, 0x00, 0x00, 0x00, 0xd0], // mov eax, 0xd0000000
  [0xff, 0xe0], //                   jmp eax
);

test('code where no memory is: registers, and that there is no code', async () => {
  const dump = dumpOf(await runGuest(intoNowhere, { mode: 32 }));

  assert.is(dump.vcpu, 0);
  assert.is(dump.regs.rip, 0xd000_0000n);
  assert.is(dump.regs.rbx, 0x1234_5678n);
  assert.is(dump.code, undefined);
});

const exchange = [0xf0, 0x48, 0x0f, 0xc7, 0x0e];

/** An instruction that hardware runs, and that an emulating KVM (PVM at ring 0) may lack. */
const sixteenBytes = code(
  [0xbb, 0x78, 0x56, 0x34, 0x12], // mov ebx, 0x12345678
  [0xbe, 0x00, 0x20, 0x00, 0x00], // mov esi, 0x2000
  exchange, //                       lock cmpxchg16b [rsi]
  [0xf4], //                         hlt
);

/** What a KVM that lacks the instruction must answer. */
function assertStoppedAtExchange(result: Result): void {
  const dump = dumpOf(result);
  assert.is(dump.regs.rip, BigInt(CODE) + 10n);
  assert.equal(Array.from(dump.code ?? []).slice(0, exchange.length), exchange);
}

test('an instruction that this KVM may lack: it runs, or the error shows its bytes', async () => {
  const result = await runGuest(sixteenBytes, { mode: 64 });

  const assertOutcome = { halt: () => {}, error: () => assertStoppedAtExchange(result) }[String(result.reason)];
  assert.ok(assertOutcome, `neither ran nor stopped with an error: ${result.reason}`);
  assertOutcome?.();
});

test.run();
