/* A guest of its own for examples, tests and benchmarks: runs on any number of vCPUs, in ring 0 or ring 3, without a
   kernel under it. What it does is said in Params (guest.h). No interrupts, no floating point, no library. */

#include "guest.h"

#define PAGE_SIZE 4096ul
#define ALONE_WAIT_CYCLES 200000000ul

static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory"); }

static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory"); }

static inline void out_string(u16 port, const char* text, u64 length) {
  __asm__ volatile("rep outsb" : "+S"(text), "+c"(length) : "d"(port) : "memory");
}

static inline u32 fetch_add(volatile u32* word, u32 value) {
  __asm__ volatile("lock xaddl %0, %1" : "+r"(value), "+m"(*word) : : "memory", "cc");
  return value;
}

static inline u64 cycles(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (u64)high << 32 | low;
}

static inline u32 privilege_level(void) {
  u16 cs;
  __asm__ volatile("movw %%cs, %0" : "=r"(cs));
  return cs & 3;
}

static void pause_until(volatile u32* word, u32 value) {
  while (*word != value) __asm__ volatile("pause" : : : "memory");
}

/* Taken by who changes it from 0 to 1. In .bss, which the loader clears. */
static volatile u32 console_lock;

static void lock(volatile u32* word) {
  u32 before;
  do {
    before = 1;
    __asm__ volatile("pause; xchgl %0, %1" : "+r"(before), "+m"(*word) : : "memory");
  } while (before != 0);
}

/* Stores are seen in order on x86: what was done under the lock is visible before the lock is free. */
static void unlock(volatile u32* word) {
  __asm__ volatile("" : : : "memory");
  *word = 0;
}

static char* append(char* at, const char* text) {
  while (*text != 0) *at++ = *text++;
  return at;
}

static char* append_decimal(char* at, u32 value) {
  char digits[10];
  u32 count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

static void print_greeting(u32 index, u32 ring) {
  char line[64];
  char* end = append(line, "vCPU ");
  end = append_decimal(end, index);
  end = append(end, " runs in ring ");
  end = append_decimal(end, ring);
  *end++ = '\n';
  lock(&console_lock); /* a line is many exits: without it those of other vCPUs come in between */
  out_string(PORT_CONSOLE, line, (u64)(end - line));
  unlock(&console_lock);
}

static u32 add_to_counter(volatile u32* counter, u32 iterations) {
  for (u32 i = 0; i < iterations; i++) fetch_add(counter, 1);
  return iterations;
}

/* The sequence is that of a linear congruential generator, so the host can name the pages beforehand. */
static u32 write_to_pages(u64 area, u32 pages, u32 count, u32 seed) {
  u32 state = seed;
  for (u32 i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    u32 page = (state >> 8) % pages;
    *(volatile u32*)(area + page * PAGE_SIZE + (state & 0xff0u)) = state;
  }
  return count;
}

static u64 ring_doorbell(volatile struct Params* params) {
  u64 begin = cycles();
  for (u32 ring = 1; ring <= params->rings; ring++) {
    *(volatile u32*)DOORBELL_ADDRESS = ring;
    pause_until(&params->answer, ring);
  }
  return cycles() - begin;
}

static u64 make_exits(u32 exits) {
  out32(PORT_EXIT, 1);
  u64 begin = cycles();
  for (u32 i = 0; i < exits; i++) out32(PORT_EXIT, 0);
  u64 spent = cycles() - begin;
  out32(PORT_EXIT, 2);
  return spent;
}

/* Started by hand (`node-kvm run`), with no host program that fills in Params: every vCPU says hello. How many there are, nobody
   has said: vCPU 0 gives the others some time, then powers off. */
static u32 greet_and_leave(u32 index, u32 ring) {
  print_greeting(index, ring);
  if (index == 0) {
    for (u64 begin = cycles(); cycles() - begin < ALONE_WAIT_CYCLES;) __asm__ volatile("pause" : : : "memory");
    out16(PORT_POWER, POWER_OFF);
  }
  return ring == 0;
}

/* Called once per vCPU. The result says whether this vCPU may halt. */
u32 guest_main(u32 index) {
  volatile struct Params* params = (volatile struct Params*)PARAMS_ADDRESS;
  volatile struct Report* report = (volatile struct Report*)REPORTS_ADDRESS + index;
  u32 command = params->command;
  u32 ring = privilege_level();
  report->ring = ring;
  if (command == 0) return greet_and_leave(index, ring);

  fetch_add(&params->arrived, 1);
  while (params->arrived < params->participants) __asm__ volatile("pause" : : : "memory");

  if (command & COMMAND_PRINT) print_greeting(index, ring);
  if (command & COMMAND_COUNT) report->counted = add_to_counter((volatile u32*)params->counter, params->iterations);
  if (command & COMMAND_DIRTY) {
    report->dirtied = write_to_pages(params->area, params->area_pages, params->dirty_count, params->seed + index);
  }
  if ((command & COMMAND_DOORBELL) && index == 0) report->ring_cycles = ring_doorbell(params);
  if (command & COMMAND_EXITS) report->exit_cycles = make_exits(params->exits);
  report->done = command;

  if (fetch_add(&params->running, 0xffffffffu) == 1) out16(PORT_POWER, POWER_OFF);
  return ring == 0;
}
