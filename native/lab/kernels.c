/* The kernels on plain memory and those on single words; those that wait for other actors are in sync_kernels.c. See
   kernels.h. Compiled for SSE2, the least of x86-64, with the optimiser's vectors: that is what the WebAssembly kernels
   have too. */

#include "lab/kernels.h"

#include "lab/litmus.h"
#include "lab/sync_kernels.h"

#define PAGE_BYTES 4096u

/* Each pass does its work anew: the compiler must not know what is in memory, nor that a pass repeats the one before.
 */
#define NEW_PASS() __asm__ volatile("" : : : "memory")

static uint64_t* words(const struct lab_order* order, uint32_t at) { return (uint64_t*)(order->arena + at); }

static void read_words(struct lab_order* order, uint32_t bytes, uint32_t passes) {
  const uint64_t* a = words(order, order->params[0]);
  const uint64_t count = bytes / 8;
  uint64_t sum = 0;
  for (uint32_t pass = 0; pass < passes; pass++) {
    NEW_PASS();
    /* Several sums, so that no addition waits for the one before: the memory is measured, not the adder. */
    uint64_t sums[8] = {0};
    uint64_t i = 0;
    for (; i + 8 <= count; i += 8)
      for (int lane = 0; lane < 8; lane++) sums[lane] += a[i + (uint64_t)lane];
    for (; i < count; i++) sums[0] += a[i];
    sum = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
  }
  order->values[0] = count * passes;
  order->values[1] = sum;
}

static void write_words(struct lab_order* order, uint32_t bytes, uint32_t passes, uint32_t value) {
  uint64_t* a = words(order, order->params[0]);
  const uint64_t count = bytes / 8;
  const uint64_t both = (uint64_t)value << 32 | value;
  for (uint32_t pass = 0; pass < passes; pass++) {
    NEW_PASS();
    for (uint64_t i = 0; i < count; i++) a[i] = both;
  }
  order->values[0] = count * passes;
}

static void copy_bytes(struct lab_order* order, uint32_t bytes, uint32_t passes, uint32_t from) {
  for (uint32_t pass = 0; pass < passes; pass++) {
    NEW_PASS();
    __builtin_memcpy(order->arena + order->params[0], order->arena + from, bytes);
  }
  order->values[0] = (uint64_t)(bytes / 8) * passes;
}

static void triad(struct lab_order* order, uint32_t bytes, uint32_t passes, uint32_t b_at, uint32_t c_at) {
  double* restrict a = (double*)(order->arena + order->params[0]);
  const double* restrict b = (const double*)(order->arena + b_at);
  const double* restrict c = (const double*)(order->arena + c_at);
  const uint64_t count = bytes / 8;
  for (uint32_t pass = 0; pass < passes; pass++) {
    NEW_PASS();
    for (uint64_t i = 0; i < count; i++) a[i] = b[i] + 3.0 * c[i];
  }
  order->values[0] = count * passes;
}

static void strided(struct lab_order* order, uint32_t bytes, uint32_t passes, uint32_t stride) {
  const uint64_t* a = words(order, order->params[0]);
  const uint64_t count = bytes / stride;
  uint64_t sum = 0;
  for (uint32_t pass = 0; pass < passes; pass++) {
    NEW_PASS();
    sum = 0;
    const uint64_t* place = a;
    for (uint64_t i = 0; i < count; i++, place += stride / 8) sum += *place;
  }
  order->values[0] = count * passes;
  order->values[1] = sum;
}

/* Places are the low bits of xorshift32; whether it is a store, the high bits of its product with the golden ratio, so
 * that both are independent. */
static void random_words(struct lab_order* order, uint32_t bytes, uint32_t count, uint32_t seed, uint32_t writes) {
  uint64_t* a = words(order, order->params[0]);
  const uint32_t mask = bytes / 8 - 1;
  uint32_t x = seed;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    if (x * 0x9e3779b1u >> 24 < writes)
      a[x & mask] = i;
    else
      sum += a[x & mask];
  }
  order->values[0] = count;
  order->values[1] = sum;
}

static void chase(struct lab_order* order, uint32_t count) {
  const uint64_t last = order->arena_bytes - 4;
  uint32_t p = order->params[0];
  /* The chain lies in memory that anybody writes. The check is a branch that is foretold: it does not delay the next
   * load. */
  uint32_t i = 0;
  for (; i < count && p <= last; i++) __builtin_memcpy(&p, order->arena + p, 4);
  order->values[0] = i;
  order->values[1] = p;
}

static void atomic_add(struct lab_order* order, uint32_t count) {
  uint32_t* word = (uint32_t*)(order->arena + order->params[0]);
  /* By hand: an addition whose result nobody uses would become `lock add`, and Atomics.add is an exchange. */
  for (uint32_t i = 0; i < count; i++) {
    uint32_t one = 1;
    __asm__ volatile("lock xaddl %0, %1" : "+r"(one), "+m"(*word) : : "memory", "cc");
  }
  order->values[0] = count;
}

static void cas_add(struct lab_order* order, uint32_t count) {
  uint32_t* word = (uint32_t*)(order->arena + order->params[0]);
  uint64_t failed = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(word, &seen, seen + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) failed++;
  }
  order->values[0] = count;
  order->values[1] = failed;
}

static void increment(struct lab_order* order, uint32_t count) {
  volatile uint32_t* word = (volatile uint32_t*)(order->arena + order->params[0]);
  uint32_t value = *word;
  for (uint32_t i = 0; i < count; i++) *word = value = *word + 1;
  order->values[0] = count;
  order->values[1] = value;
}

static void dirty(struct lab_order* order, uint32_t pages, uint32_t passes, uint32_t step) {
  const uint64_t end = (uint64_t)pages * PAGE_BYTES;
  uint64_t written = 0;
  for (uint32_t pass = 1; pass <= passes; pass++) {
    for (uint64_t at = 0; at < end; at += (uint64_t)step * PAGE_BYTES, written++)
      *(volatile uint32_t*)(order->arena + order->params[0] + at) = pass;
  }
  order->values[0] = written;
}

void lab_order_run(struct lab_order* order) {
  const uint32_t* p = order->params;
  switch (order->kernel) {
    case LAB_KERNEL_READ:
      read_words(order, p[1], p[2]);
      break;
    case LAB_KERNEL_WRITE:
      write_words(order, p[1], p[2], p[3]);
      break;
    case LAB_KERNEL_COPY:
      copy_bytes(order, p[1], p[2], p[3]);
      break;
    case LAB_KERNEL_TRIAD:
      triad(order, p[1], p[2], p[3], p[4]);
      break;
    case LAB_KERNEL_STRIDED:
      strided(order, p[1], p[2], p[3]);
      break;
    case LAB_KERNEL_RANDOM:
      random_words(order, p[1], p[2], p[3], p[4]);
      break;
    case LAB_KERNEL_CHASE:
      chase(order, p[1]);
      break;
    case LAB_KERNEL_ATOMIC_ADD:
      atomic_add(order, p[1]);
      break;
    case LAB_KERNEL_CAS_ADD:
      cas_add(order, p[1]);
      break;
    case LAB_KERNEL_INCREMENT:
      increment(order, p[1]);
      break;
    case LAB_KERNEL_DIRTY:
      dirty(order, p[1], p[2], p[3]);
      break;
    case LAB_KERNEL_LITMUS:
      lab_litmus_run(order);
      break;
    default:
      lab_sync_run(order);
  }
}

/* Whether [at, at + bytes) lies in the arena and begins at a multiple of `unit`, a power of two. */
static int fits(const struct lab_order* order, uint64_t at, uint64_t bytes, uint32_t unit) {
  return (at & (unit - 1)) == 0 && bytes <= order->arena_bytes && at <= order->arena_bytes - bytes;
}

static int is_power_of_two(uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

int lab_order_fits(const struct lab_order* order) {
  const uint32_t* p = order->params;
  const uint32_t bytes = p[1];
  switch (order->kernel) {
    case LAB_KERNEL_READ:
    case LAB_KERNEL_WRITE:
      return fits(order, p[0], bytes, 8);
    case LAB_KERNEL_COPY:
      return fits(order, p[0], bytes, 8) && fits(order, p[3], bytes, 8);
    case LAB_KERNEL_TRIAD:
      return fits(order, p[0], bytes, 8) && fits(order, p[3], bytes, 8) && fits(order, p[4], bytes, 8);
    case LAB_KERNEL_STRIDED:
      return fits(order, p[0], bytes, 8) && p[3] != 0 && p[3] % 8 == 0;
    case LAB_KERNEL_RANDOM:
      return fits(order, p[0], bytes, 8) && bytes >= 8 && is_power_of_two(bytes);
    case LAB_KERNEL_CHASE:
    case LAB_KERNEL_ATOMIC_ADD:
    case LAB_KERNEL_CAS_ADD:
    case LAB_KERNEL_INCREMENT:
      return fits(order, p[0], 4, 4);
    case LAB_KERNEL_SEQLOCK_WRITE:
    case LAB_KERNEL_SEQLOCK_READ:
      return fits(order, p[0], 32, 4);
    case LAB_KERNEL_TICKET_LOCK:
      return fits(order, p[0], 132, 4);
    case LAB_KERNEL_SPSC_PUSH:
    case LAB_KERNEL_SPSC_POP:
      return is_power_of_two(p[2]) && fits(order, p[0], 128 + (uint64_t)p[2] * 4, 4);
    case LAB_KERNEL_MPMC_PUSH:
    case LAB_KERNEL_MPMC_POP:
      return is_power_of_two(p[2]) && fits(order, p[0], 128 + (uint64_t)p[2] * 8, 4);
    case LAB_KERNEL_DIRTY:
      return p[3] != 0 && fits(order, p[0], (uint64_t)p[1] * PAGE_BYTES, 4);
    case LAB_KERNEL_LITMUS:
      return lab_litmus_fits(order);
    default:
      return 0;
  }
}
