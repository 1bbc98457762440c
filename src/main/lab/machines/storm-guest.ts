// The guest of the machine workloads: reads orders from its RAM and carries them out, in ring 3 of long mode. Bytes and their meaning only;
// who gives the orders is storm-machine.ts. Main thread.

/**
 * Each vCPU starts with its index in rdi. r8 = MASK, r9 = FIRST, esi = SEED, ecx = COUNT, rbx = its order; random numbers (r10) are a
 * linear congruential generator's. Addresses and word indices as in shared/lab/storm.ts.
 */
// biome-ignore format: one instruction a line
const CODE = [
  ...[0xc1, 0xe7, 0x06], //                                  shl edi, 0x6
  ...[0x8d, 0x9f, 0x00, 0x00, 0x02, 0x00], //                lea ebx, [rdi+0x20000]
  ...[0xba, 0x00, 0x05, 0x00, 0x00], //                gate: mov edx, 0x500
  0xed, //                                                   in eax, dx
  ...[0x8b, 0x4b, 0x04], //                                  mov ecx, [rbx+0x4]
  ...[0x8b, 0x73, 0x08], //                                  mov esi, [rbx+0x8]
  ...[0x44, 0x8b, 0x43, 0x0c], //                            mov r8d, [rbx+0xc]
  ...[0x44, 0x8b, 0x4b, 0x10], //                            mov r9d, [rbx+0x10]
  ...[0x45, 0x31, 0xdb], //                                  xor r11d, r11d
  ...[0x41, 0x89, 0xf2], //                                  mov r10d, esi
  ...[0x8b, 0x03], //                                        mov eax, [rbx]
  ...[0xff, 0xc8], //                                        dec eax
  ...[0x74, 0x12], //                                        je pio
  ...[0xff, 0xc8], //                                        dec eax
  ...[0x74, 0x1a], //                                        je mmio
  ...[0xff, 0xc8], //                                        dec eax
  ...[0x74, 0x23], //                                        je touch
  ...[0xff, 0xc8], //                                        dec eax
  ...[0x74, 0x54], //                                        je load
  ...[0xff, 0xc8], //                                        dec eax
  ...[0x74, 0x7b], //                                        je bell
  ...[0xeb, 0x70], //                                        jmp other
  ...[0xba, 0x10, 0x05, 0x00, 0x00], //                 pio: mov edx, 0x510
  0xee, //                                             pion: out dx, al
  ...[0xff, 0xc9], //                                        dec ecx
  ...[0x75, 0xfb], //                                        jne pion
  ...[0xeb, 0xc2], //                                        jmp gate
  ...[0xb8, 0x00, 0x00, 0x00, 0xd0], //                mmio: mov eax, 0xd0000000
  ...[0x89, 0x08], //                                 mmion: mov [rax], ecx
  ...[0xff, 0xc9], //                                        dec ecx
  ...[0x75, 0xfa], //                                        jne mmion
  ...[0xeb, 0xb5], //                                        jmp gate
  ...[0x89, 0xf0], //                                 touch: mov eax, esi
  ...[0xff, 0xc6], //                                        inc esi
  ...[0x44, 0x21, 0xc0], //                                  and eax, r8d
  ...[0x4c, 0x01, 0xc8], //                                  add rax, r9
  ...[0x48, 0xc1, 0xe0, 0x0c], //                            shl rax, 0xc
  ...[0x45, 0x69, 0xd2, 0x0d, 0x66, 0x19, 0x00], //          imul r10d, r10d, 0x19660d
  ...[0x41, 0x81, 0xc2, 0x5f, 0xf3, 0x6e, 0x3c], //          add r10d, 0x3c6ef35f
  ...[0x44, 0x3b, 0x53, 0x14], //                            cmp r10d, [rbx+0x14]
  ...[0x77, 0x07], //                                        ja read
  ...[0x89, 0x08], //                                        mov [rax], ecx
  ...[0x41, 0xff, 0xc3], //                                  inc r11d
  ...[0xeb, 0x02], //                                        jmp done
  ...[0x8b, 0x00], //                                  read: mov eax, [rax]
  ...[0xff, 0xc9], //                                  done: dec ecx
  ...[0x75, 0xd1], //                                        jne touch
  ...[0x44, 0x89, 0x5b, 0x1c], //                            mov [rbx+0x1c], r11d
  ...[0xeb, 0x80], //                                        jmp gate
  ...[0x89, 0xf0], //                                  load: mov eax, esi
  ...[0x44, 0x21, 0xc0], //                                  and eax, r8d
  ...[0xff, 0xc6], //                                        inc esi
  ...[0x4c, 0x01, 0xc8], //                                  add rax, r9
  ...[0x48, 0xc1, 0xe0, 0x0c], //                            shl rax, 0xc
  ...[0x89, 0x08], //                                        mov [rax], ecx
  ...[0x49, 0xff, 0xc3], //                                  inc r11
  ...[0x4c, 0x89, 0x5b, 0x20], //                            mov [rbx+0x20], r11
  ...[0x83, 0x7b, 0x18, 0x00], //                            cmp [rbx+0x18], 0x0
  ...[0x74, 0xe3], //                                        je load
  ...[0xe9, 0x5e, 0xff, 0xff, 0xff], //                      jmp gate
  ...[0xff, 0xc8], //                                 other: dec eax
  ...[0x74, 0x1a], //                                        je ring
  ...[0xe9, 0x55, 0xff, 0xff, 0xff], //                      jmp gate
  ...[0xba, 0x14, 0x05, 0x00, 0x00], //                bell: mov edx, 0x514
  0xee, //                                                   out dx, al
  ...[0xba, 0x18, 0x05, 0x00, 0x00], //                      mov edx, 0x518
  0xed, //                                                   in eax, dx
  ...[0xff, 0xc9], //                                        dec ecx
  ...[0x75, 0xf0], //                                        jne bell
  ...[0xe9, 0x40, 0xff, 0xff, 0xff], //                      jmp gate
  ...[0x31, 0xf6], //                                  ring: xor esi, esi
  ...[0xbf, 0x00, 0x00, 0x10, 0x00], //                      mov edi, 0x100000
  ...[0xff, 0xc6], //                                  asks: inc esi
  ...[0x89, 0x73, 0x28], //                                  mov [rbx+0x28], esi
  ...[0x0f, 0x31], //                                        rdtsc
  ...[0x48, 0xc1, 0xe2, 0x20], //                            shl rdx, 0x20
  ...[0x48, 0x09, 0xd0], //                                  or rax, rdx
  ...[0x49, 0x89, 0xc0], //                                  mov r8, rax
  ...[0xba, 0x14, 0x05, 0x00, 0x00], //                      mov edx, 0x514
  0xee, //                                                   out dx, al
  ...[0xf3, 0x90], //                                  spin: pause
  ...[0x39, 0x73, 0x2c], //                                  cmp [rbx+0x2c], esi
  ...[0x7c, 0xf9], //                                        jl spin
  ...[0x0f, 0xae, 0xe8], //                                  lfence
  ...[0x0f, 0x31], //                                        rdtsc
  ...[0x48, 0xc1, 0xe2, 0x20], //                            shl rdx, 0x20
  ...[0x48, 0x09, 0xd0], //                                  or rax, rdx
  ...[0x48, 0x89, 0x43, 0x30], //                            mov [rbx+0x30], rax
  ...[0x4c, 0x29, 0xc0], //                                  sub rax, r8
  ...[0x48, 0x89, 0x07], //                                  mov [rdi], rax
  ...[0x48, 0x83, 0xc7, 0x08], //                            add rdi, 0x8
  ...[0xff, 0xc9], //                                        dec ecx
  ...[0x75, 0xc4], //                                        jne asks
  ...[0xe9, 0xf8, 0xfe, 0xff, 0xff], //                      jmp gate
];

export const stormCode = () => Uint8Array.from(CODE);
