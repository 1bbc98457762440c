/* The words between the lab's coordinator and its C actors and guests: the same numbers as in shared/lab/control.ts and
   shared/lab/kernels.ts, which say what they mean; test/unit/lab-layout.test.ts compares. Freestanding C11 and C++20;
   includes nothing that needs a library. */

#ifndef NODE_KVM_LAB_LAYOUT_H_
#define NODE_KVM_LAB_LAYOUT_H_

#define LAB_LAYOUT_CODE 0x200000u
#define LAB_LAYOUT_CONTROL 0x400000u
#define LAB_LAYOUT_DATA 0x800000u

#define LAB_GATE_PORT 0x4c0

/* Words of the control area. */
#define LAB_CONTROL_EPOCH 0
#define LAB_CONTROL_ARRIVED 32
#define LAB_CONTROL_PARTICIPANTS 64
#define LAB_CONTROL_DONE 96
#define LAB_OVER (-1)

#define LAB_BLOCKS 1024
#define LAB_BLOCK_BYTES 1024
#define LAB_ACTORS_MAX 32

/* u32 words of a block. */
#define LAB_BLOCK_KERNEL 0
#define LAB_BLOCK_RANK 1
#define LAB_BLOCK_CPU 2
#define LAB_BLOCK_CALL 3
#define LAB_BLOCK_PARAMS 16
#define LAB_PARAMS_MAX 16

/* u64 words of a block. */
#define LAB_RESULT_START 32
#define LAB_RESULT_END 33
#define LAB_RESULT_GATE 34
#define LAB_RESULT_VALUES 36
#define LAB_VALUES_MAX 12

#define LAB_KERNEL_READ 1
#define LAB_KERNEL_WRITE 2
#define LAB_KERNEL_COPY 3
#define LAB_KERNEL_TRIAD 4
#define LAB_KERNEL_STRIDED 5
#define LAB_KERNEL_RANDOM 6
#define LAB_KERNEL_CHASE 7
#define LAB_KERNEL_ATOMIC_ADD 8
#define LAB_KERNEL_CAS_ADD 9
#define LAB_KERNEL_INCREMENT 10
#define LAB_KERNEL_SEQLOCK_WRITE 11
#define LAB_KERNEL_SEQLOCK_READ 12
#define LAB_KERNEL_TICKET_LOCK 13
#define LAB_KERNEL_SPSC_PUSH 14
#define LAB_KERNEL_SPSC_POP 15
#define LAB_KERNEL_MPMC_PUSH 16
#define LAB_KERNEL_MPMC_POP 17
#define LAB_KERNEL_DIRTY 18
#define LAB_KERNEL_LITMUS 64

#endif
