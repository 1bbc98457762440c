/* What the litmus programs are made of, and the kernel that runs one. The programs, one function per thread of a test, are written by the build
   (litmus_programs.h). Plain accesses are volatile: the compiler leaves them as they are, so what is seen is the processor's doing. */

#include "lab/litmus.h"

/* The kernel's parameters, as addresses. By value in each program, so that stores to the arena cannot change it. */
struct litmus {
  uint8_t *x, *y;
  uint32_t count, stride, x_mul, x_off, y_mul, y_off;
  uint32_t* out;
  uint8_t* pace;
  uint32_t spin, pace_mask, delay_mask, random;
  /* Up to this instance the thread does not wait for others. */
  uint32_t alone;
};

#define INLINE static inline __attribute__((always_inline))

INLINE uint8_t* litmus_place(const struct litmus* run, uint8_t* at, uint32_t place) {
  return at + (uint64_t)(place & (run->count - 1)) * run->stride;
}
INLINE uint8_t* litmus_x(const struct litmus* run, uint32_t i) {
  return litmus_place(run, run->x, i * run->x_mul + run->x_off);
}
INLINE uint8_t* litmus_y(const struct litmus* run, uint32_t i) {
  return litmus_place(run, run->y, i * run->y_mul + run->y_off);
}

#define PLAIN(size)                                                           \
  INLINE void litmus_plain_store##size(uint8_t* at, uint##size##_t value) {   \
    *(volatile uint##size##_t*)at = value;                                    \
  }                                                                           \
  INLINE uint32_t litmus_plain_load##size(const uint8_t* at) {                \
    return *(const volatile uint##size##_t*)at;                               \
  }
#define ATOMIC(size)                                                          \
  INLINE void litmus_atomic_store##size(uint8_t* at, uint##size##_t value) {  \
    __atomic_store_n((uint##size##_t*)at, value, __ATOMIC_SEQ_CST);           \
  }                                                                           \
  INLINE uint32_t litmus_atomic_load##size(const uint8_t* at) {               \
    return __atomic_load_n((const uint##size##_t*)at, __ATOMIC_SEQ_CST);      \
  }
PLAIN(16)
PLAIN(32)
ATOMIC(16)
ATOMIC(32)

/* What was there: `expected` if it succeeded. */
INLINE uint32_t litmus_cas(uint8_t* at, uint32_t expected, uint32_t value) {
  __atomic_compare_exchange_n((uint32_t*)at, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}

INLINE int litmus_paced(const struct litmus* run, uint32_t i) {
  return run->spin != 0 && i >= run->alone && (i & run->pace_mask) == 0;
}

/* A thread's progress, the number of instances that it has come to, lies `progress` bytes from `pace` on. */
INLINE void litmus_come(const struct litmus* run, uint32_t i, uint32_t progress) {
  __atomic_store_n((uint32_t*)(run->pace + progress), i + 1, __ATOMIC_SEQ_CST);
}

/* Looks at most `left` times whether another thread has come to instance i too; returns how many looks are left. */
INLINE uint32_t litmus_wait(const struct litmus* run, uint32_t i, uint32_t progress, uint32_t left) {
  while (left > 0 && __atomic_load_n((uint32_t*)(run->pace + progress), __ATOMIC_SEQ_CST) <= i) left--;
  return left;
}

INLINE void litmus_delay(struct litmus* run) {
  run->random ^= run->random << 13;
  run->random ^= run->random >> 17;
  run->random ^= run->random << 5;
  /* The asm keeps the loop: it counts for the sake of the time that it takes. */
  for (uint32_t delay = run->random & run->delay_mask; delay > 0; delay--) __asm__ volatile("");
}

#include "lab/litmus_programs.h"

/* Whether [at, at + bytes) lies in the arena and begins at a whole word. */
static int fits(const struct lab_order* order, uint64_t at, uint64_t bytes) {
  return at % 4 == 0 && at + bytes <= order->arena_bytes;
}

int lab_litmus_fits(const struct lab_order* order) {
  const uint32_t* p = order->params;
  const uint64_t count = p[LITMUS_PARAM_COUNT];
  const uint64_t words = (count - 1) * p[LITMUS_PARAM_STRIDE] + 4;
  const int registers = litmus_registers(p[LITMUS_PARAM_PROGRAM]);
  return registers >= 0 && count != 0 && (count & (count - 1)) == 0 && p[LITMUS_PARAM_STRIDE] % 4 == 0 &&
         fits(order, p[LITMUS_PARAM_X_AT], words) && fits(order, p[LITMUS_PARAM_Y_AT], words) &&
         fits(order, p[LITMUS_PARAM_OUT_AT], count * (uint64_t)registers * 4) &&
         fits(order, p[LITMUS_PARAM_PACE_AT], LITMUS_PACE_ALL_BYTES);
}

void lab_litmus_run(struct lab_order* order) {
  const uint32_t* p = order->params;
  const struct litmus run = {
      .x = order->arena + p[LITMUS_PARAM_X_AT],
      .y = order->arena + p[LITMUS_PARAM_Y_AT],
      .count = p[LITMUS_PARAM_COUNT],
      .stride = p[LITMUS_PARAM_STRIDE],
      .x_mul = p[LITMUS_PARAM_X_MUL],
      .x_off = p[LITMUS_PARAM_X_OFF],
      .y_mul = p[LITMUS_PARAM_Y_MUL],
      .y_off = p[LITMUS_PARAM_Y_OFF],
      .out = (uint32_t*)(order->arena + p[LITMUS_PARAM_OUT_AT]),
      .pace = order->arena + p[LITMUS_PARAM_PACE_AT],
      .spin = p[LITMUS_PARAM_SPIN],
      .pace_mask = p[LITMUS_PARAM_PACE_MASK],
      .delay_mask = p[LITMUS_PARAM_DELAY_MASK],
      .random = p[LITMUS_PARAM_SEED],
  };
  litmus_dispatch(p[LITMUS_PARAM_PROGRAM], run);
  order->values[0] = run.count;
}
