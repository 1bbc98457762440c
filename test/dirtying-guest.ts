// A guest that dirties memory as fast as it can: each vCPU writes a word to every page of an area of its own, round and round. Main thread.
// Uses the public API only.

import type { VirtualMachine } from 'node-kvm';
import { at, code, jump, le32 } from './guest-code.ts';
import { type GuestOptions, loadGuest } from './run-guest.ts';

/** Pages of each vCPU's area; areas follow each other from AREA on. */
export const AREA_PAGES = 4096;
export const AREA = 0x100_0000;
const AREA_SHIFT = 24;

const MEMORY = 64 << 20;

/** Long mode, up to three vCPUs. Writes nothing but its area. */
export const dirtying = code(
  [0x89, 0xfb], //                        mov ebx, edi
  [0xff, 0xc3], //                        inc ebx
  [0xc1, 0xe3, AREA_SHIFT], //            shl ebx, AREA_SHIFT: the area of vCPU 0 is at AREA
  at('round'),
  [0x89, 0xde], //                        mov esi, ebx
  [0xb9, ...le32(AREA_PAGES)], //         mov ecx, AREA_PAGES
  at('next'),
  [0xff, 0x06], //                        inc dword ptr [rsi]
  [0x81, 0xc6, ...le32(4096)], //         add esi, 4096
  [0xff, 0xc9], //                        dec ecx
  jump(0x75, 'next'), //                  jnz next
  jump(0xeb, 'round'), //                 jmp round
);

/** A machine whose vCPUs (one, at ring 3, unless `options` says otherwise) dirty memory, with tracking on. */
export async function startDirtying(options: Partial<GuestOptions> = {}): Promise<VirtualMachine> {
  const vm = await loadGuest(dirtying, { mode: 64, cpl: 3, memory: MEMORY, dirtyTracking: true, ...options });
  await vm.start();
  return vm;
}
