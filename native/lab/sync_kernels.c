/* Seqlock, ticket lock, rings. Orderings are those that the algorithm needs; on x86-64 acquire and release are plain
   moves. JavaScript and WebAssembly have sequentially consistent atomics alone: what that costs them is part of what is
   measured. Waits end when EPOCH says that it is over. */

#include "lab/sync_kernels.h"

/* Distances in bytes from `at`. */
#define FAR 64u
#define SLOTS 128u
#define SEQLOCK_WORDS 7

static uint32_t load_acquire(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static uint32_t load_relaxed(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static void store_release(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
static void store_relaxed(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }

static uint32_t* word_at(const struct lab_order* order, uint32_t offset) {
  return (uint32_t*)(order->arena + order->params[0] + offset);
}

/* A turn of a waiting loop. False: nobody will come any more. */
static int wait_more(const struct lab_order* order) {
  lab_pause();
  return !lab_is_over(order->arena);
}

static void seqlock_write(struct lab_order* order, uint32_t count) {
  uint32_t* sequence = word_at(order, 0);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t before = load_relaxed(sequence);
    store_relaxed(sequence, before + 1);
    /* The odd number must be seen before the data. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (int word = 1; word <= SEQLOCK_WORDS; word++) store_relaxed(sequence + word, before / 2 + 1);
    store_release(sequence, before + 2);
  }
  order->values[0] = count;
}

static void seqlock_read(struct lab_order* order, uint32_t count) {
  const uint32_t* sequence = word_at(order, 0);
  uint64_t good = 0, torn = 0, retries = 0;
  while (good + torn < count) {
    const uint32_t before = load_acquire(sequence);
    uint32_t seen[SEQLOCK_WORDS];
    for (int word = 0; word < SEQLOCK_WORDS; word++) seen[word] = load_relaxed(sequence + 1 + word);
    /* The data must be read before the number is looked at again. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((before & 1) != 0 || load_relaxed(sequence) != before) {
      retries++;
      if (!wait_more(order)) break;
      continue;
    }
    uint32_t differ = 0;
    for (int word = 1; word < SEQLOCK_WORDS; word++) differ |= seen[word] ^ seen[0];
    if (differ == 0)
      good++;
    else
      torn++;
  }
  order->values[0] = good;
  order->values[1] = torn;
  order->values[2] = retries;
}

static void ticket_lock(struct lab_order* order, uint32_t count) {
  uint32_t* next = word_at(order, 0);
  uint32_t* serving = word_at(order, FAR);
  volatile uint32_t* guarded = word_at(order, SLOTS);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t ticket = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
    while (load_acquire(serving) != ticket)
      if (!wait_more(order)) return;
    *guarded = *guarded + 1;
    store_release(serving, ticket + 1);
    order->values[0] = i + 1;
  }
}

/* Head and tail count all items that ever went in and out, modulo 2^32; each side keeps what it last saw of the other's
 * and looks again only when it has to. */
static void spsc_push(struct lab_order* order, uint32_t count, uint32_t slots) {
  uint32_t* head = word_at(order, 0);
  const uint32_t* tail = word_at(order, FAR);
  uint32_t* items = word_at(order, SLOTS);
  uint32_t at = load_relaxed(head);
  uint32_t freed = load_acquire(tail);
  uint64_t sum = 0;
  for (uint32_t item = 1; item <= count && item != 0; item++) {
    while (at - freed >= slots) {
      freed = load_acquire(tail);
      if (at - freed >= slots && !wait_more(order)) return;
    }
    items[at & (slots - 1)] = item;
    store_release(head, ++at);
    sum += item;
    order->values[0] = item;
  }
  order->values[1] = sum;
}

static void spsc_pop(struct lab_order* order, uint32_t count, uint32_t slots) {
  const uint32_t* head = word_at(order, 0);
  uint32_t* tail = word_at(order, FAR);
  const uint32_t* items = word_at(order, SLOTS);
  uint32_t at = load_relaxed(tail);
  uint32_t filled = load_acquire(head);
  uint64_t sum = 0, disorder = 0;
  for (uint32_t item = 1; item <= count && item != 0; item++) {
    while (at == filled) {
      filled = load_acquire(head);
      if (at == filled && !wait_more(order)) return;
    }
    const uint32_t got = items[at & (slots - 1)];
    store_release(tail, ++at);
    sum += got;
    disorder += got != item;
    order->values[0] = item;
  }
  order->values[1] = sum;
  order->values[2] = disorder;
}

/* Cells {sequence, value}: sequence = position when the cell is free for it, position + 1 when it is filled, position +
   slots when it was emptied. Source: D. Vyukov, "Bounded MPMC queue". */
static void mpmc_push(struct lab_order* order, uint32_t count, uint32_t slots) {
  uint32_t* head = word_at(order, 0);
  uint32_t* cells = word_at(order, SLOTS);
  uint64_t sum = 0;
  for (uint32_t item = 1; item <= count && item != 0; item++) {
    uint32_t position = load_relaxed(head);
    for (;;) {
      uint32_t* cell = cells + 2 * (uint64_t)(position & (slots - 1));
      const int32_t ahead = (int32_t)(load_acquire(cell) - position);
      if (ahead == 0) {
        if (__atomic_compare_exchange_n(head, &position, position + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
          cell[1] = item;
          store_release(cell, position + 1);
          break;
        }
      } else {
        if (ahead < 0 && !wait_more(order)) return;
        position = load_relaxed(head);
      }
    }
    sum += item;
    order->values[0] = item;
  }
  order->values[1] = sum;
}

static void mpmc_pop(struct lab_order* order, uint32_t count, uint32_t slots) {
  uint32_t* tail = word_at(order, FAR);
  uint32_t* cells = word_at(order, SLOTS);
  uint64_t sum = 0;
  for (uint32_t taken = 0; taken < count; taken++) {
    uint32_t position = load_relaxed(tail);
    for (;;) {
      uint32_t* cell = cells + 2 * (uint64_t)(position & (slots - 1));
      const int32_t ahead = (int32_t)(load_acquire(cell) - (position + 1));
      if (ahead == 0) {
        if (__atomic_compare_exchange_n(tail, &position, position + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
          sum += cell[1];
          store_release(cell, position + slots);
          break;
        }
      } else {
        if (ahead < 0 && !wait_more(order)) return;
        position = load_relaxed(tail);
      }
    }
    order->values[0] = taken + 1u;
  }
  order->values[1] = sum;
}

void lab_sync_run(struct lab_order* order) {
  const uint32_t* p = order->params;
  switch (order->kernel) {
    case LAB_KERNEL_SEQLOCK_WRITE:
      seqlock_write(order, p[1]);
      break;
    case LAB_KERNEL_SEQLOCK_READ:
      seqlock_read(order, p[1]);
      break;
    case LAB_KERNEL_TICKET_LOCK:
      ticket_lock(order, p[1]);
      break;
    case LAB_KERNEL_SPSC_PUSH:
      spsc_push(order, p[1], p[2]);
      break;
    case LAB_KERNEL_SPSC_POP:
      spsc_pop(order, p[1], p[2]);
      break;
    case LAB_KERNEL_MPMC_PUSH:
      mpmc_push(order, p[1], p[2]);
      break;
    case LAB_KERNEL_MPMC_POP:
      mpmc_pop(order, p[1], p[2]);
      break;
    default:
      break;
  }
}
