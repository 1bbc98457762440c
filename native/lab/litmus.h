/* The kernel `litmus`: one thread of a litmus test on many instances of it. Any thread or vCPU; part of kernels.c. Parameters: shared/lab/litmus.ts. */

#ifndef NODE_KVM_LAB_LITMUS_H_
#define NODE_KVM_LAB_LITMUS_H_

#include "lab/kernels.h"

/** Whether there is such a program and all that it reaches lies in the arena, aligned. */
int lab_litmus_fits(const struct lab_order* order);

/** Runs it; operations: instances. The order must fit. */
void lab_litmus_run(struct lab_order* order);

#endif
