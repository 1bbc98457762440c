// Every vCPU state survives its bytes, and values that do not fit are refused before a byte is written.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KVM_CPUID_ENTRY2, KVM_REGS, KVM_SREGS, KVM_VCPU_EVENTS } from '../../shared/generated/kvm-abi.ts';
import {
  decodeCpuid,
  decodeDebugRegs,
  decodeEvents,
  decodeFpu,
  decodeMpState,
  decodeRegs,
  decodeSregs,
  decodeXcrs,
  encodeCpuid,
  encodeDebugRegs,
  encodeEvents,
  encodeFpu,
  encodeGuestDebug,
  encodeMpState,
  encodeRegs,
  encodeSregs,
  encodeXcrs,
} from '../../shared/vcpu-codec.ts';
import { msrIndices, msrPairs } from '../../shared/vcpu-fields.ts';
import type { DebugRegs, Regs, Segment, Sregs, VcpuEvents } from '../../shared/vcpu-state.ts';
import { codeOf } from '../errors.ts';

const test = suite('vCPU state as bytes');

/** Bytes that are all different, so that a field at a wrong place shows. */
const pattern = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 7 + 1) & 0xff);

/** The field names that the kernel's struct has; padding and arrays are not named fields. */
const names = (abi: object): string[] => Object.keys(abi).filter(name => name !== 'SIZE');

test('regs: every field of the struct, to and fro', () => {
  const bytes = pattern(KVM_REGS.SIZE);
  const regs = decodeRegs(bytes);

  assert.equal(Object.keys(regs).sort(), names(KVM_REGS).sort());
  assert.equal(encodeRegs(regs), bytes);
});

test('sregs: every field of the struct; encoding over the same bytes changes nothing', () => {
  const bytes = pattern(KVM_SREGS.SIZE);
  const sregs = decodeSregs(bytes);

  assert.equal([...Object.keys(sregs), 'interruptBitmap'].sort(), names(KVM_SREGS).sort());
  assert.equal(encodeSregs(sregs, bytes.slice()), bytes);
  assert.equal(decodeSregs(encodeSregs(sregs)), sregs);
});

test('absent fields keep their bytes', () => {
  const bytes = encodeRegs({ rax: 1n }, pattern(KVM_REGS.SIZE));

  assert.is(decodeRegs(bytes).rax, 1n);
  assert.equal(bytes.subarray(8), pattern(KVM_REGS.SIZE).subarray(8));
});

test('fpu, debug registers, events, xcrs, mp state and cpuid come back as they went', () => {
  const fpu = decodeFpu(pattern(416));
  assert.equal(decodeFpu(encodeFpu(fpu)), fpu);
  const debug = decodeDebugRegs(pattern(128));
  assert.equal(decodeDebugRegs(encodeDebugRegs(debug)), debug);
  const events = decodeEvents(pattern(KVM_VCPU_EVENTS.SIZE));
  assert.equal(decodeEvents(encodeEvents(events)), events);
  const xcrs = [{ index: 0, value: 7n }];
  assert.equal(decodeXcrs(encodeXcrs(xcrs)), xcrs);
  for (const state of ['runnable', 'uninitialized', 'init-received', 'halted', 'sipi-received'] as const) {
    assert.is(decodeMpState(encodeMpState(state)), state);
  }
  const leaves = decodeCpuid(pattern(3 * KVM_CPUID_ENTRY2.SIZE));
  assert.is(leaves.length, 3);
  assert.equal(decodeCpuid(encodeCpuid(leaves)), leaves);
});

test('values that do not fit are refused', async () => {
  const segment = decodeSregs(pattern(KVM_SREGS.SIZE)).cs;
  const withSegment = (change: Partial<Segment>) => () => encodeSregs({ cs: { ...segment, ...change } });
  for (const attempt of [
    () => encodeRegs({ rax: 1n << 64n }),
    () => encodeRegs({ rax: -1n }),
    withSegment({ selector: 0x10000 }),
    withSegment({ limit: 2 ** 32 }),
    withSegment({ dpl: 256 }),
    () => encodeSregs({ gdt: { base: 0n, limit: 0x10000 } }),
    () => encodeFpu({ xmm: [] }),
    () => encodeMpState('asleep' as 'halted'),
    () => encodeDebugRegs({ db: [1n, 2n, 3n, 4n, 5n] as unknown as DebugRegs['db'] }),
    () => msrIndices([2 ** 33]),
    () => msrIndices([Number.NaN]),
    () => msrPairs([[0x10, 1n << 64n]]),
    () => msrPairs([[-1, 0n]]),
  ]) {
    assert.is(await codeOf(attempt), 'ERR_OUT_OF_RANGE', String(attempt));
  }
});

test('wrong types and unknown fields are refused', async () => {
  const calls: ((value: never) => unknown)[] = [
    encodeRegs,
    encodeSregs,
    encodeFpu,
    encodeDebugRegs,
    encodeXcrs,
    encodeEvents,
    encodeGuestDebug,
    msrIndices,
    msrPairs,
  ];
  for (const call of calls) {
    for (const value of [null, 5, 'text'])
      assert.is(await codeOf(() => call(value as never)), 'ERR_INVALID_ARG_TYPE', `${call.name} ${value}`);
  }
  for (const attempt of [
    () => encodeRegs({ rax: 1 } as unknown as Partial<Regs>),
    () => encodeSregs({ cs: null } as unknown as Partial<Sregs>),
    () => encodeFpu({ xmm: new Array(16).fill(1) }),
    () => encodeEvents({} as VcpuEvents),
    () => msrPairs([[0x10, 1]] as unknown as [number, bigint][]),
    () => msrPairs([5] as unknown as [number, bigint][]),
  ]) {
    assert.is(await codeOf(attempt), 'ERR_INVALID_ARG_TYPE', String(attempt));
  }
  assert.is(await codeOf(() => encodeRegs({ rxx: 1n } as unknown as Partial<Regs>)), 'ERR_UNKNOWN_OPTION');
});

test.run();
