/* What the host tells the guest, what the guest answers, and where. examples/guest.ts has the same layouts in TypeScript.
   Freestanding C11; all addresses are guest physical and, because RAM is identity-mapped, pointers as well. */

#ifndef GUEST_H
#define GUEST_H

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* Bits of Params.command; they run in this order. */
#define COMMAND_PRINT 1u    /* a line to PORT_CONSOLE */
#define COMMAND_COUNT 2u    /* Params.iterations times lock xadd on the counter */
#define COMMAND_DIRTY 4u    /* write to Params.dirty_count seeded pages of the area */
#define COMMAND_DOORBELL 8u /* vCPU 0 rings Params.rings times and waits for each answer */
#define COMMAND_EXITS 16u   /* Params.exits port writes, timed */

#define PORT_CONSOLE 0xe9
#define PORT_EXIT 0x600     /* value 1: begin, 2: end, 0: one of many in between */
#define PORT_POWER 0x604    /* ACPI's PM1a control register, where QEMU has it */
#define POWER_OFF 0x2000
#define DOORBELL_ADDRESS 0xd0000000ul

#define PARAMS_ADDRESS 0x10000ul
#define REPORTS_ADDRESS 0x11000ul /* one Report per vCPU */

struct Params {
  u32 command;
  u32 participants; /* vCPUs and host threads that meet before the work begins */
  u32 arrived;      /* how many are there; everyone adds 1 */
  u32 running;      /* vCPUs that are not done; the last one powers off */
  u64 counter;      /* address of a u32 */
  u32 iterations;
  u32 area_pages;
  u64 area;         /* address of the pages to write to */
  u32 dirty_count;
  u32 seed;
  u32 rings;
  u32 answer;       /* the host stores the number of the ring that it has heard */
  u32 exits;
  u32 reserved;
};

struct Report {
  u32 done;         /* the commands that were carried out */
  u32 ring;         /* privilege level */
  u32 counted;
  u32 dirtied;      /* page writes, repeated pages included */
  u64 exit_cycles;  /* time-stamp counter over all writes to PORT_EXIT */
  u64 ring_cycles;  /* time-stamp counter over all doorbells with their answers */
  u64 reserved[4];
};

_Static_assert(sizeof(struct Params) == 64, "the host writes 64 bytes");
_Static_assert(sizeof(struct Report) == 64, "one cache line per vCPU");

#endif
