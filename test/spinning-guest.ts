// A guest that never ends: each vCPU counts in a word of its own, so that a test sees whether it runs. Main thread or any
// thread that embeds a machine. Uses the public API only.

import type { VirtualMachine } from 'node-kvm';
import { at, code, jump } from './guest-code.ts';
import { type GuestOptions, loadGuest, until } from './run-guest.ts';

/** Counter of vCPU i: the 32-bit word at COUNTERS + 4 * i. */
export const COUNTERS = 0x2000;

/** Long mode. */
export const spinning = code(
  at('again'),
  [0xf0, 0xff, 0x04, 0xbd, 0x00, 0x20, 0x00, 0x00], // lock inc dword ptr [COUNTERS + rdi*4]
  jump(0xeb, 'again'), //                              jmp again
);

/** The counters, read at once. */
export function counters(vm: VirtualMachine): number[] {
  const bytes = new Uint8Array(vm.vcpus.length * 4);
  vm.memory.read(COUNTERS, bytes);
  return Array.from(new Uint32Array(bytes.buffer));
}

/** Resolves when every vCPU has counted on from `before`. */
export async function untilAllMoved(
  vm: VirtualMachine,
  before: readonly number[] = vm.vcpus.map(() => 0),
): Promise<void> {
  await until(() => counters(vm).every((count, index) => count !== before[index]), 'every vCPU counts');
}

/** A machine whose vCPUs (two, at ring 3, unless `options` says otherwise) count already. */
export async function startSpinning(options: Partial<GuestOptions> = {}): Promise<VirtualMachine> {
  const vm = await loadGuest(spinning, { mode: 64, cpl: 3, vcpus: 2, ...options });
  await vm.start();
  await untilAllMoved(vm);
  return vm;
}
