// A kernel of thirty instructions for tests of a Linux guest's console, on any KVM: started by PVH, it prints 'hi', enables the serial
// port's interrupt, waits until the interrupt controller has seen it, and then sends back what it gets. '!' is a panic. Pure.

import { elfKernel } from './linux-kernels.ts';

// 32-bit code. It waits for IRQ 4 in the request register of the PIC, which needs neither handlers nor an interrupt table.
const CODE = [
  ...[0x66, 0xba, 0xf8, 0x03], //        mov dx, 0x3f8
  ...[0xb0, 0x68, 0xee], //              mov al, 'h';  out dx, al
  ...[0xb0, 0x69, 0xee], //              mov al, 'i';  out dx, al
  ...[0xb0, 0x0a, 0xee], //              mov al, '\n'; out dx, al
  ...[0x66, 0xba, 0xf9, 0x03], //        mov dx, 0x3f9
  ...[0xb0, 0x01, 0xee], //              mov al, 1; out dx, al: IER, received data
  ...[0xb0, 0x0a, 0xe6, 0x20], //        mov al, 0x0a; out 0x20, al: OCW3, read the request register
  ...[0xe4, 0x20, 0xa8, 0x10, 0x74, 0xfa], // wait: in al, 0x20; test al, 0x10; jz wait
  ...[0x66, 0xba, 0xfd, 0x03], //        next: mov dx, 0x3fd: LSR
  ...[0xec, 0xa8, 0x01, 0x74, 0xfb], //  poll: in al, dx; test al, 1; jz poll
  ...[0x66, 0xba, 0xf8, 0x03], //        mov dx, 0x3f8
  ...[0xec, 0xee], //                    in al, dx; out dx, al
  ...[0x3c, 0x21, 0x75, 0xed], //        cmp al, '!'; jne next
  ...[0x66, 0xba, 0x05, 0x05], //        mov dx, 0x505
  ...[0xb0, 0x01, 0xee, 0xf4], //        mov al, 1; out dx, al; hlt
];
/** elfKernel() has its entry 16 bytes behind the segment's start. */
const ENTRY = 0x10;

export const echoKernel = (): Uint8Array => elfKernel(Uint8Array.from([...new Uint8Array(ENTRY), ...CODE]));
