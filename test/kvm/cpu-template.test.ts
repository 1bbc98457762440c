// A guest executes CPUID and finds what its template says, and create() refuses what the host lacks.

import { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { kvmKind } from '../../src/main/host-facts.ts';
import { codeOf } from '../errors.ts';
import { code, le32 } from '../guest-code.ts';
import { kvmSuite, suiteUnless } from '../harness.ts';
import { loadGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('cpuTemplate');
/** For the feature bits that a guest's own CPUID gives. */
const inGuest =
  kvmKind() === 'pvm'
    ? suiteUnless("a PVM guest sees the host's feature bits, whatever KVM_SET_CPUID2 said", 'cpuTemplate in a guest')
    : kvmSuite('cpuTemplate in a guest');
const RESULT = 0x9000;
const SSE2 = 1 << 26;
const SSE4_2 = 1 << 20;
const XSAVE_AVX = (1 << 26) | (1 << 28);

/** CPUID of leaf 1 and of leaf 0xd, eight words at RESULT. */
const guest = code(
  ...[1, 0xd].flatMap((leaf, i) => [
    [0xb8, ...le32(leaf)], //                                    mov eax, leaf
    [0x31, 0xc9], //                                             xor ecx, ecx
    [0x0f, 0xa2], //                                             cpuid
    [0x89, 0x04, 0x25, ...le32(RESULT + 16 * i)], //             mov [result], eax
    [0x89, 0x1c, 0x25, ...le32(RESULT + 16 * i + 4)], //         mov [result + 4], ebx
    [0x89, 0x0c, 0x25, ...le32(RESULT + 16 * i + 8)], //         mov [result + 8], ecx
    [0x89, 0x14, 0x25, ...le32(RESULT + 16 * i + 12)], //        mov [result + 12], edx
  ]),
  [0xf4], //                                                     hlt
);

async function seen(options: object): Promise<{ guest: number[]; vm: number[] }> {
  await using vm = await loadGuest(guest, { mode: 64, ...options });
  await vm.start();
  assert.is((await vm.finished).reason, 'halt');
  const leaf = vm.vcpus[0]?.getCpuid().find(entry => entry.function === 1);
  return { guest: words32(vm, RESULT, 8), vm: leaf === undefined ? [] : [leaf.eax, leaf.ecx] };
}

inGuest('x86-64-v1: SSE 2 and nothing newer, and nothing for XSAVE to save', async () => {
  const { guest, vm } = await seen({ cpuTemplate: 'x86-64-v1' });
  const [eax = 0, , ecx = 0, edx = 0, ...xsave] = guest;
  assert.is(edx & SSE2, SSE2);
  assert.is(ecx & (SSE4_2 | XSAVE_AVX), 0);
  assert.equal(xsave, [0, 0, 0, 0]);
  assert.equal(vm, [eax, ecx]);
});

inGuest('x86-64-v3: AVX and its registers, or a refusal that names what this KVM lacks', async () => {
  const { vm: host } = await seen({});
  const refused: string[] = [];
  const v3 = await seen({ cpuTemplate: 'x86-64-v3' }).catch((error: { info?: { features?: string[] } }) => {
    refused.push(...(error.info?.features ?? []));
    return undefined;
  });
  if (v3 === undefined) {
    assert.is(refused.includes('avx'), ((host[1] ?? 0) & (1 << 28)) === 0);
    assert.ok(refused.length > 0);
    return;
  }
  const [, , ecx = 0, , xcr0, , size] = v3.guest;
  assert.is(ecx & XSAVE_AVX, XSAVE_AVX);
  assert.equal([xcr0, size], [7, 832]);
});

test('a mask: the model is what it says, the rest as without', async () => {
  const host = await seen({});
  const masked = await seen({ cpuTemplate: [{ leaf: 1, eax: { clear: 0xffff_ffff, set: 0x0001_2345 } }] });
  assert.is(masked.guest[0], 0x0001_2345);
  assert.is(masked.guest[2], host.guest[2]);
});

test('what KVM lacks here is refused by create(), and so is a template without KVM', async () => {
  const options = { memory: 1 << 20, vcpus: 1 } as const;
  await using vm = await VirtualMachine.create({ ...options, engine: 'kvm' });
  const ebx = vm.vcpus[0]?.getCpuid().find(entry => entry.function === 7 && entry.index === 0)?.ebx ?? 0;
  assert.not(ebx >>> 0 === 0xffff_ffff);
  const tooMuch = [{ leaf: 7, ebx: { set: 0xffff_ffff } }];
  const refused = await VirtualMachine.create({ ...options, engine: 'kvm', cpuTemplate: tooMuch }).catch(
    error => error,
  );
  assert.is(refused.code, 'ERR_CPU_FEATURE');
  assert.ok(refused.info.features.length > 0);
  const hosted = { ...options, engine: 'host', cpuTemplate: 'host' } as const;
  assert.is(await codeOf(() => VirtualMachine.create(hosted)), 'ERR_ENGINE');
});

test.run();
inGuest.run();
