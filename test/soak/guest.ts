// The soak's guest: each vCPU writes words that say who wrote them to seeded random pages of a list, as fast as it can or with
// a rest after each. Long mode. The host's side of it: parameters and list. Main thread.

import { type KvmMemory, struct, u32le } from 'node-kvm';
import { at, code, jump, le32 } from '../guest-code.ts';
import { GUEST_LIST, GUEST_LIST_LENGTH, GUEST_PARAMS, TAG, targets } from './layout.ts';
import type { Random } from './random.ts';

/** Of one vCPU; 64 bytes apart. */
const Params = struct({ seed: u32le, rest: u32le, tag: u32le });
const PARAMS_SIZE = 64;
const REST_OFFSET = 4;

/** A linear congruential generator picks an entry of the list and an offset; 8 bytes are written, at times over a page's end. */
export const guest = code(
  [0xc1, 0xe7, 0x06], //                             shl edi, 6
  [0x81, 0xc7, ...le32(GUEST_PARAMS)], //            add edi, GUEST_PARAMS
  [0x8b, 0x07], //                                   mov eax, [rdi]           seed
  [0x31, 0xed], //                                   xor ebp, ebp             count
  at('again'),
  [0x69, 0xc0, ...le32(1_664_525)], //               imul eax, eax, 1664525
  [0x05, ...le32(1_013_904_223)], //                 add eax, 1013904223
  [0x89, 0xc3], //                                   mov ebx, eax
  [0xc1, 0xeb, 0x14], //                             shr ebx, 20
  [0x81, 0xe3, ...le32(GUEST_LIST_LENGTH - 1)], //   and ebx, GUEST_LIST_LENGTH - 1
  [0x8b, 0x1c, 0x9d, ...le32(GUEST_LIST)], //        mov ebx, [GUEST_LIST + rbx*4]
  [0x89, 0xc2], //                                   mov edx, eax
  [0xc1, 0xea, 0x08], //                             shr edx, 8
  [0x81, 0xe2, ...le32(0xffc)], //                   and edx, 0xffc
  [0x01, 0xd3], //                                   add ebx, edx
  [0xff, 0xc5], //                                   inc ebp
  [0x89, 0xea], //                                   mov edx, ebp
  [0x81, 0xe2, ...le32(0xff_ffff)], //               and edx, 0xffffff
  [0x0b, 0x57, 0x08], //                             or edx, [rdi + 8]        tag
  [0x89, 0xd1], //                                   mov ecx, edx
  [0x48, 0xc1, 0xe2, 0x20], //                       shl rdx, 32
  [0x48, 0x09, 0xca], //                             or rdx, rcx
  [0x48, 0x89, 0x13], //                             mov [rbx], rdx
  [0x8b, 0x4f, 0x04], //                             mov ecx, [rdi + 4]       rest
  at('rest'),
  [0x85, 0xc9], //                                   test ecx, ecx
  jump(0x74, 'again'), //                            jz again
  [0xf3, 0x90], //                                   pause
  [0xff, 0xc9], //                                   dec ecx
  jump(0xeb, 'rest'), //                             jmp rest
);

export function writeParams(memory: KvmMemory, vcpus: number, seed: number): void {
  for (let index = 0; index < vcpus; index++) {
    memory.writeObj(GUEST_PARAMS + index * PARAMS_SIZE, Params, {
      seed: (seed + index * 77) >>> 0,
      rest: 0,
      tag: ((TAG.guest + index) << 24) >>> 0,
    });
  }
}

/** How many turns of a loop a vCPU rests after each write. */
export function setRest(memory: KvmMemory, vcpus: number, rest: number): void {
  for (let index = 0; index < vcpus; index++)
    memory.writeObj(GUEST_PARAMS + index * PARAMS_SIZE + REST_OFFSET, u32le, rest);
}

/** A new list: `spread` different pages, drawn again and again. Few pages are written often, many seldom. */
export function writeList(memory: KvmMemory, random: Random, spread: number): void {
  const chosen = Array.from({ length: spread }, () => random.pick(targets));
  const list = Uint32Array.from({ length: GUEST_LIST_LENGTH }, () => random.pick(chosen));
  memory.write(GUEST_LIST, new Uint8Array(list.buffer));
}
