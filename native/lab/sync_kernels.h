/* The kernels in which actors wait for each other: locks and queues. Part of kernels.c. */

#ifndef NODE_KVM_LAB_SYNC_KERNELS_H_
#define NODE_KVM_LAB_SYNC_KERNELS_H_

#include "lab/kernels.h"

/** Runs the order's kernel if it is one of these, nothing otherwise. */
void lab_sync_run(struct lab_order* order);

#endif
