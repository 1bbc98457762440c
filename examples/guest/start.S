/* Where every vCPU starts. The loader has set up long mode, a stack with the alignment of a called function, and the
   vCPU's index in rdi, which is the C ABI's first argument: nothing is left to do but to go on in C. */

    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp             /* ends chains of frames */
    subq $8, %rsp               /* the call below pushes a return address again */
    call guest_main             /* the return value: nonzero = may halt */
    testl %eax, %eax
    jz 2f
1:  hlt                         /* ring 0: this vCPU is done */
    jmp 1b
2:  pause                       /* ring 3 may not halt: wait until the machine is powered off */
    jmp 2b
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
