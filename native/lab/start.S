/* Where every vCPU of the lab's guest starts: long mode, a stack, and the vCPU's index in rdi, all as the loader gives them. */

    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp             /* ends chains of frames */
    subq $8, %rsp               /* the call pushes a return address again */
    call guest_main
1:  pause                       /* it is over: ring 3 may not halt, and the machine is powered off */
    jmp 1b
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
