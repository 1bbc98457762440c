/* The guest of the lab: each vCPU is one actor. It asks its gate for orders (the device sleeps there on the vCPU's
   thread), meets the other actors at the barrier and runs its kernel, all in ring 3, where every kind of KVM runs code
   natively. Times are of the time-stamp counter. */

#include "lab/kernels.h"

/* Guest-physical addresses are offsets in the arena, so it begins at 0. The compiler must not know: to it that is no
 * object. */
static uint8_t* arena_start(void) {
  uint8_t* arena = 0;
  __asm__ volatile("" : "+r"(arena));
  return arena;
}

static uint32_t ask_gate(void) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "d"((uint16_t)LAB_GATE_PORT) : "memory");
  return value;
}

/* Neither earlier nor later than the instructions around it. */
static uint64_t cycles(void) {
  uint32_t low, high;
  __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
}

/* What kernels.c needs of a library. */
void* memcpy(void* to, const void* from, __SIZE_TYPE__ bytes) {
  void* begin = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return begin;
}

/* Called once per vCPU, with its number among the VM's, which is where its blocks begin: the coordinator gives guests
 * the first ones. */
void guest_main(uint32_t actor) {
  uint8_t* arena = arena_start();
  while (ask_gate() != 0) {
    struct lab_order order = lab_order_take(arena, UINT32_MAX, actor);
    lab_barrier_arrive(arena);
    while (!lab_barrier_open(arena) && !lab_is_over(arena)) lab_pause();
    const uint64_t start = cycles();
    lab_order_run(&order);
    lab_order_report(&order, actor, start, cycles());
  }
}
