/* The kernels in C, the definition of what every kind of actor does: one text, compiled into the addon (C threads, the
   baseline) and into the guest. Any thread or vCPU. Freestanding: of a library they use memcpy alone, which the guest
   brings along. The numbers are in layout.h. */

#ifndef NODE_KVM_LAB_KERNELS_H_
#define NODE_KVM_LAB_KERNELS_H_

#include <stdint.h>

#include "lab/layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One repetition of one actor. A copy of what its block says: memory that others write is read once. */
struct lab_order {
  uint8_t* arena;
  uint64_t arena_bytes;
  uint32_t kernel;
  uint32_t params[LAB_PARAMS_MAX];
  uint64_t values[LAB_VALUES_MAX];
};

/** Whether the kernel is known and everything that its parameters name lies in the arena, aligned as it must be. */
int lab_order_fits(const struct lab_order* order);

/**
 * Runs the kernel and fills in `values`. Kernels that wait for other actors give up when EPOCH says that it is over.
 * The order must fit.
 */
void lab_order_run(struct lab_order* order);

/** Whether EPOCH says that it is over. */
static inline int lab_is_over(const uint8_t* arena) {
  return __atomic_load_n((const int32_t*)(arena + LAB_LAYOUT_CONTROL) + LAB_CONTROL_EPOCH, __ATOMIC_RELAXED) ==
         LAB_OVER;
}

static inline void lab_pause(void) { __builtin_ia32_pause(); }

/** Copies the order of `actor` from its block. KERNEL 0: there is none. */
static inline struct lab_order lab_order_take(uint8_t* arena, uint64_t arena_bytes, uint32_t actor) {
  const uint32_t* block =
      (const uint32_t*)(arena + LAB_LAYOUT_CONTROL + LAB_BLOCKS + (uint64_t)actor * LAB_BLOCK_BYTES);
  struct lab_order order;
  order.arena = arena;
  order.arena_bytes = arena_bytes;
  order.kernel = __atomic_load_n(block + LAB_BLOCK_KERNEL, __ATOMIC_ACQUIRE);
  for (int i = 0; i < LAB_PARAMS_MAX; i++)
    order.params[i] = __atomic_load_n(block + LAB_BLOCK_PARAMS + i, __ATOMIC_RELAXED);
  for (int i = 0; i < LAB_VALUES_MAX; i++) order.values[i] = 0;
  return order;
}

/** Arrives at the barrier. Then lab_barrier_open() says whether all have. */
static inline void lab_barrier_arrive(uint8_t* arena) {
  uint32_t* control = (uint32_t*)(arena + LAB_LAYOUT_CONTROL);
  __atomic_fetch_add(control + LAB_CONTROL_ARRIVED, 1, __ATOMIC_SEQ_CST);
}

static inline int lab_barrier_open(const uint8_t* arena) {
  const uint32_t* control = (const uint32_t*)(arena + LAB_LAYOUT_CONTROL);
  return __atomic_load_n(control + LAB_CONTROL_ARRIVED, __ATOMIC_ACQUIRE) ==
         __atomic_load_n(control + LAB_CONTROL_PARTICIPANTS, __ATOMIC_RELAXED);
}

/** Stores times and values into the actor's block. */
static inline void lab_order_report(const struct lab_order* order, uint32_t actor, uint64_t start, uint64_t end) {
  uint64_t* block = (uint64_t*)(order->arena + LAB_LAYOUT_CONTROL + LAB_BLOCKS + (uint64_t)actor * LAB_BLOCK_BYTES);
  block[LAB_RESULT_START] = start;
  block[LAB_RESULT_END] = end;
  for (int i = 0; i < LAB_VALUES_MAX; i++) block[LAB_RESULT_VALUES + i] = order->values[i];
}

#ifdef __cplusplus
}
#endif

#endif
