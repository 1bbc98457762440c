// The only TypeScript file that loads the addon, and the typed description of everything in it. Runs on every thread that
// needs native code. Native methods do one thing each and re-check what would be unsafe; policy is TypeScript.
// Every failed system call becomes a HypervisorError `ERR_SYSCALL` with `errno` and `syscall`, filled at the call.

import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { HypervisorError } from '../shared/errors.ts';

/** How to map memory. Sizes in bytes, multiples of the page size (of the huge page where asked for). */
export interface MapSpec {
  readonly size: number;
  readonly kind: 'anonymous' | 'memfd' | 'file';
  /** kind 'file': path, opened read-write when `shared`, else read-only and mapped copy-on-write. */
  readonly path?: string;
  readonly shared?: boolean;
  /** Byte offset in the file, page-aligned. */
  readonly fileOffset?: number;
  /** 'thp' = madvise(MADV_HUGEPAGE); 2 MiB / 1 GiB = MAP_HUGETLB (anonymous, memfd). */
  readonly hugePages?: 'none' | 'thp' | '2M' | '1G';
  /** Shown in /proc/self/maps (memfd name, or PR_SET_VMA_ANON_NAME where the kernel has it). */
  readonly name?: string;
}

export interface NativeMapping {
  /** Over the mapping; the last reference on any thread unmaps it. Only one such buffer exists per mapping. */
  readonly buffer: SharedArrayBuffer;
  readonly hostAddr: bigint;
}

/** Names of the fixed-size vCPU states: KVM_GET_x / KVM_SET_x. The buffer's length must be exactly the struct's size. */
export type VcpuStateName = 'regs' | 'sregs' | 'fpu' | 'xsave' | 'xcrs' | 'debugregs' | 'events' | 'mpState' | 'lapic';

export interface NativeSystem {
  /** KVM_GET_API_VERSION. */
  apiVersion(): number;
  /** KVM_CHECK_EXTENSION on /dev/kvm. */
  checkExtension(cap: number): number;
  /** KVM_GET_VCPU_MMAP_SIZE, bytes. */
  vcpuMmapSize(): number;
  /** KVM_GET_SUPPORTED_CPUID: struct kvm_cpuid_entry2[] (40 bytes each). */
  supportedCpuid(): Uint8Array;
  /** KVM_GET_MSR_INDEX_LIST. */
  msrIndexList(): Uint32Array;
  /** KVM_CREATE_VM (retried on EINTR). */
  createVm(): NativeVm;
  close(): void;
}

/** A VM descriptor and its slots. Closing (or collection) deletes the slots first, then closes the descriptor. */
export interface NativeVm {
  readonly fd: number;
  checkExtension(cap: number): number;
  /** KVM_ENABLE_CAP. */
  enableCap(cap: number, args: readonly number[]): void;
  /**
   * KVM_SET_USER_MEMORY_REGION. `owner` is kept alive until the slot is deleted (null for external memory, whose owner is
   * the caller). size 0 deletes. All numbers are checked by the kernel.
   */
  setMemoryRegion(
    slot: number,
    flags: number,
    guestAddr: number,
    size: number,
    hostAddr: bigint,
    owner: SharedArrayBuffer | null,
  ): void;
  /**
   * Moves the dirty log of a slot that this object has registered into `into` by OR (one bit per page, bit 0 = the slot's page 0 at
   * bit `firstBit` of `into`, LSB first), and returns how many pages it held. `into` must hold the slot's pages; they come
   * from the slot as registered, never from the caller. How: KVM_GET_DIRTY_LOG (which clears); with the manual log, GET, OR, then
   * KVM_CLEAR_DIRTY_LOG of the 64-page-aligned chunks that have dirty pages; with the ring, what `collectRings` and the vCPUs'
   * own ring-full exits have gathered for the slot (overflow: every page).
   * `writers`, where given, takes each page's writer code (shared/writer.ts), index = bit number in `into`: the ring's vCPU, or `guestWriter`.
   * A failure loses nothing: what was ORed stays, what was not is reported again.
   */
  orDirtyLog(
    slot: number,
    into: Uint8Array,
    firstBit: number,
    writers: Uint16Array | null,
    guestWriter: number,
  ): number;
  /**
   * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: GET only copies, CLEAR write-protects. `initiallySet`: slots that begin to log report every page,
   * and are write-protected chunk by chunk as they are cleared. Before logging begins; may be called again while no slot logs.
   */
  setManualLog(on: boolean, initiallySet: boolean): void;
  /** CLEAR of the whole slot in chunks, reporting nothing: a slot that began to log with `initiallySet` is clean after it. */
  clearDirtyLog(slot: number): void;
  /** KVM_CAP_DIRTY_LOG_RING(_ACQ_REL): `entries` per vCPU, a power of two. Before any vCPU; for good. */
  enableDirtyRing(entries: number): void;
  /**
   * Harvests every vCPU's ring into the VM's per-slot bitmaps and resets it (KVM_RESET_DIRTY_RINGS until nothing is left), under the lock that
   * the vCPUs' ring-full exits take too. Returns the entries harvested. When it throws, what was harvested is kept, but a page must not be read before a
   * later call succeeded.
   */
  collectRings(): number;
  /** Entries harvested so far of each vCPU's ring since the ring was enabled, ring-full exits so far, whether one ever overflowed. For rates. */
  ringCounters(vcpu: number): { readonly entries: number; readonly fullExits: number; readonly overflows: number };
  /** KVM_CREATE_IRQCHIP: PIC, IOAPIC and LAPICs in the kernel. Before any vCPU, as the next one. */
  createIrqchip(): void;
  /**
   * KVM_CAP_SPLIT_IRQCHIP: LAPICs alone. GSIs 0 to `pins` - 1 are an IOAPIC's elsewhere: where one of them has a route with a level-triggered vector, the guest's end of that
   * interrupt is KVM_EXIT_IOAPIC_EOI.
   */
  splitIrqchip(pins: number): void;
  /** KVM_SET_GSI_ROUTING: three words a route, gsi, address and data of an interrupt message. These routes replace all others; irqfds follow at once. */
  setMsiRoutes(routes: Uint32Array): void;
  /** KVM_SIGNAL_MSI. False: no LAPIC took the message. */
  signalMsi(address: number, data: number): boolean;
  /** KVM_CREATE_PIT2. */
  createPit(): void;
  /** KVM_SET_TSS_ADDR / KVM_SET_IDENTITY_MAP_ADDR (VMX without unrestricted guest needs them). */
  setTssAddr(addr: number): void;
  setIdentityMapAddr(addr: number): void;
  /** KVM_IRQ_LINE. */
  irqLine(gsi: number, level: number): void;
  /**
   * KVM_IOEVENTFD: the guest's writes to a port or an address without memory signal `event` inside the kernel and are no exits any more. `length`: writes of so
   * many bytes alone (1, 2, 4, 8), or of any size (0); `match`: writes of this value alone, null: of any. KVM keeps the event until they are deassigned, which takes
   * the same arguments. @throws `ERR_SYSCALL`: EEXIST (some of these writes signal an event already), ENOENT (deassign: they don't), ENOSPC
   */
  assignIoEventFd(
    space: 'pio' | 'mmio',
    address: number,
    length: number,
    match: bigint | null,
    event: NativeEventFd,
  ): void;
  deassignIoEventFd(
    space: 'pio' | 'mmio',
    address: number,
    length: number,
    match: bigint | null,
    event: NativeEventFd,
  ): void;
  /**
   * KVM_IRQFD: each signal of `event`, by any thread, raises the in-kernel interrupt controller's `gsi` and lowers it at once (an edge). With `resample` it is a level:
   * it stays raised until the guest has acknowledged it, and then `resample` is signalled, whose owner signals `event` again where there is still something to tell.
   * KVM takes `event`'s counter. Ends by itself when the event's last handle is closed. @throws `ERR_SYSCALL`: EBUSY (the event raises an interrupt already), EINVAL (there is no such controller)
   */
  assignIrqFd(gsi: number, event: NativeEventFd, resample: NativeEventFd | null): void;
  /** After its return no signal of `event` raises `gsi`. An event that is not assigned is no error. */
  deassignIrqFd(gsi: number, event: NativeEventFd): void;
  /** Idempotent. */
  close(): void;
}

/**
 * A thread's handle of an eventfd(2): a counter that threads and KVM signal. Every thread that uses it has a handle of its own, made from `id`; the descriptor is
 * closed with the last of them, so no thread ever meets a number that was reused.
 */
export interface NativeEventFd {
  /** For attachEventFd() on another thread, while this handle is open (one that is collected is closed). Never given to another event. */
  readonly id: number;
  /** Adds 1. Never blocks. */
  signal(): void;
  /** How often it was signalled since the last call, of whichever thread. Does not block. */
  take(): number;
  /** Closes this handle: those of other threads stay as they are, and so do waiters. Idempotent. */
  close(): void;
}

/** A wait for any of several events, on one thread. Keeps them open. */
export interface NativeEventWaiter {
  /**
   * Blocks until an event is signalled, and writes the indices of those that are into `ready`; what has no room there (64 at most) is for the next call. Returns how many: 0
   * after `timeoutMs` (0 to 1000: worker.terminate() and process.exit() wait that long) or a signal to the thread. An event is reported once for all the signals since its last
   * report, and its counter stays as it is. Whoever wants to end the wait has an event of its own among them. Allocates nothing.
   */
  wait(timeoutMs: number, ready: Uint32Array): number;
  /** Idempotent. */
  close(): void;
}

/** Events that call back from a thread's event loop. Keeps them open, and the thread alive. */
export interface NativeEventWatcher {
  /** No callback any more. Idempotent; one that is collected is closed. */
  close(): void;
}

/** A vCPU. Created, driven and closed on one thread, its own. */
export interface NativeVcpu {
  readonly fd: number;
  /** struct kvm_run and what follows it (KVM_GET_VCPU_MMAP_SIZE bytes), mapped shared. */
  readonly runBuffer: SharedArrayBuffer;
  /**
   * KVM_RUN. Blocks. 0 = an exit to decode in runBuffer; otherwise -errno and nothing in runBuffer may be decoded (-EINTR: kicked;
   * immediate_exit is already cleared). Counts exits and times into `stats` (see VcpuStats in the generated ABI).
   * A full dirty ring is emptied here and returned as -EINTR too. A bound function: call it detached, it allocates nothing.
   */
  readonly run: () => number;
  /**
   * What failed when run() returned another error: 'KVM_RUN', or 'KVM_RESET_DIRTY_RINGS' for a full ring that could not be emptied. Nothing is
   * lost then, and the next run() tries again.
   */
  readonly failedCall: string;
  getState(name: VcpuStateName, into: Uint8Array): void;
  setState(name: VcpuStateName, from: Uint8Array): void;
  /** KVM_GET_MSRS. Throws ERR_SYSCALL when fewer came back than were asked for. */
  getMsrs(indices: Uint32Array): BigUint64Array;
  setMsrs(indices: Uint32Array, values: BigUint64Array): void;
  /** KVM_SET_CPUID2 with struct kvm_cpuid_entry2[] bytes. */
  setCpuid(entries: Uint8Array): void;
  /** KVM_SET_GUEST_DEBUG with struct kvm_guest_debug bytes. */
  setGuestDebug(from: Uint8Array): void;
  /** KVM_TRANSLATE: guest linear → physical; undefined where not mapped. */
  translate(linear: bigint): bigint | undefined;
  interrupt(vector: number): void;
  nmi(): void;
  /**
   * KVM_RUN in a loop of C, the lab's baseline: until the guest reads `port` (0; the next run completes that read with whatever the run page holds). Writes
   * to ports and to addresses without memory are counted in the first of `exits`, two words of shared memory; with a `bell`, a word too, by
   * the thread that is in serveExits(), which this one sleeps for: the second counts what it was asked. Otherwise -errno (-EINTR: kicked, or a full dirty ring was
   * emptied: call again; -ETIMEDOUT: nobody serves), or the reason of an exit that is none of these. No statistics. Blocks.
   */
  runToPort(port: number, exits: Uint8Array, bell: Uint8Array | null): number;
  close(): void;
}

/**
 * Write tracking of this process's memory, whoever writes: guests, threads through any view, system calls. One thread. Ranges are page-aligned host
 * addresses. Blind to other mappings of the same memfd or file, and to other processes.
 */
export interface NativePageTracker {
  /** UFFDIO_REGISTER (write protection), then protects every page: clean from here on. Registers nothing when it throws. EBUSY: another tracker has it. */
  register(hostAddr: bigint, size: number): void;
  /** UFFDIO_UNREGISTER: nothing is protected any more. What was not scanned is forgotten. */
  unregister(hostAddr: bigint, size: number): void;
  /**
   * PAGEMAP_SCAN: finds the pages written since the last scan and protects them again, atomically per page; sets their bits (bit 0 = hostAddr's page, LSB
   * first) in `into`, and `writer` (a code, shared/writer.ts) in `writers` where given. Huge pages of hugetlbfs count with all their
   * pages. Returns how many pages it found. A failure halfway loses nothing: what was found is in `into`.
   */
  scan(hostAddr: bigint, size: number, into: Uint8Array, writers: Uint16Array | null, writer: number): number;
  /** Unregisters everything. Idempotent. */
  close(): void;
}

export interface NativeAddon {
  readonly pageSize: number;
  mapMemory(spec: MapSpec): NativeMapping;
  /** A buffer over memory that somebody else owns and keeps. Unsafe: checked against /proc/self/maps only. */
  wrapExternal(hostAddr: bigint, size: number, writable: boolean): SharedArrayBuffer;
  /** The library has let go of the buffer: tells V8 what its collection would free. Once per buffer of mapMemory(). */
  countGarbage(buffer: SharedArrayBuffer): void;
  /** Address of a shared buffer's first byte (a shared WebAssembly.Memory's). */
  addressOf(buffer: SharedArrayBuffer): bigint;
  /** MADV_POPULATE_WRITE over [offset, offset + length) on `threads` threads; blocks. */
  prefault(buffer: SharedArrayBuffer, offset: number, length: number, threads: number): void;
  /**
   * Gives the pages [offset, offset + length) back to the host: they read as zeroes. Whole pages, of memory that mapMemory() made of
   * 'anonymous' or, with `shared`, of 'memfd'; bounds and alignment are re-checked, the kind is the caller's to know.
   */
  discard(buffer: SharedArrayBuffer, offset: number, length: number, shared: boolean): void;
  /** memset on a shared buffer. Bounds re-checked. */
  fill(view: Uint8Array | DataView, offset: number, length: number, value: number): void;
  /** memmove between shared or plain views. Bounds re-checked. */
  copy(
    to: Uint8Array | DataView,
    toOffset: number,
    from: Uint8Array | DataView,
    fromOffset: number,
    length: number,
  ): void;
  /**
   * Atomically takes the mark bytes of `pages` pages, leaves zeros, and ORs a bit per mark into `into` (LSB first). `summary` has a byte per
   * 4096 pages, which writers set after the marks: where it is zero, the marks are not looked at; it is taken before them.
   * `writers`, where given, gets the mark's value for each marked page. Returns how many marks were found.
   */
  takeMarks(
    marks: Uint8Array,
    summary: Uint8Array,
    pages: number,
    into: Uint8Array,
    writers: Uint16Array | null,
  ): number;
  /** Number of bits set among [first, first + count) of `bits` (LSB first). */
  countBits(bits: Uint8Array, first: number, count: number): number;
  /**
   * The runs of set bits among [first, first + pages) as pairs (guest address, bytes; a page is 4096) in `into` from index `at` (even) on, ascending; page
   * `first` is at `guestAddr`. A run that adjoins the pair before `at` is merged into it. Returns the index after the last
   * pair, or, when `into` is full, the negative of the number of elements needed in all, with nothing promised of `into`'s contents from `at` on.
   */
  bitRanges(bits: Uint8Array, first: number, pages: number, guestAddr: number, into: Float64Array, at: number): number;
  /** to |= from, for each `to`, all of one length (a multiple of 8 bytes); then from = 0. Words of zero are not written. */
  distributeBits(from: Uint8Array, to: readonly Uint8Array[]): void;
  /** The kernel's write tracking (userfaultfd WP_ASYNC and PAGEMAP_SCAN, Linux >= 6.7). @throws `ERR_SYSCALL` where the kernel lacks it */
  openPageTracker(): NativePageTracker;
  createEventFd(): NativeEventFd;
  /** A handle of another thread's event. @throws `ERR_DISPOSED` when no handle of it is open any more */
  attachEventFd(id: number): NativeEventFd;
  /** @throws `ERR_SYSCALL` (EEXIST: an event is there twice) */
  createEventWaiter(events: readonly NativeEventFd[]): NativeEventWaiter;
  /**
   * Calls `callback` from the calling thread's event loop with the index of each event that is signalled: once for all the signals since its last call, the counter stays
   * as it is. What it throws is an uncaught exception. Ends with the thread, whatever ends that. @throws `ERR_SYSCALL` (EEXIST: an event is there twice)
   */
  watchEvents(events: readonly NativeEventFd[], callback: (index: number) => void): NativeEventWatcher;
  /**
   * fallocate(FALLOC_FL_PUNCH_HOLE), on a thread of libuv's: bytes of the file become zeroes that take no room, its size stays. Resolves to false where the file
   * system has no holes; rejects with `ERR_SYSCALL`. SAFETY: `fd` is not closed until the promise has settled; that is upon the caller.
   */
  punchHole(fd: number, position: number, length: number): Promise<boolean>;
  openSystem(path: string): NativeSystem;
  /** Dups `fd` (F_DUPFD_CLOEXEC); ERR_NOT_A_VM when it is not a KVM VM's descriptor. */
  attachVm(fd: number): NativeVm;
  /**
   * KVM_CREATE_VCPU on the VM whose descriptor is `vmFd` (the caller keeps that VM open), on the calling thread. Of a VM with dirty rings,
   * `vmFd` must be the very `fd` of the NativeVm that enabled them: a vCPU made through a duplicate has a ring that nobody empties.
   */
  createVcpu(vmFd: number, index: number, stats: Uint8Array): NativeVcpu;
  /** gettid(). */
  threadId(): number;
  /** tgkill(getpid(), tid, the kick signal). False when the thread is gone (ESRCH). */
  kick(tid: number): boolean;
  /**
   * A timer that sends the calling thread the kick signal every `periodMs`: so that worker.terminate() and process.exit(),
   * which cannot reach a thread in KVM_RUN, end within a period. 0 stops it.
   */
  heartbeat(periodMs: number): void;
  /** sched_setaffinity of the calling thread. */
  setAffinity(cpus: readonly number[]): void;
  getAffinity(): number[];
  /** CLOCK_MONOTONIC, nanoseconds: the clock of the stats. */
  monotonicNs(): number;
  /**
   * The lab's baseline of waking a thread: futexes on two words of shared memory, of 4 bytes each. wakeAnswer copies each question later than `seen` from `asked` to
   * `answered`, until none came for 100 ms or `over` was asked, and returns the last. wakeAsk asks `count` questions, numbered from `last` + 1
   * on, puts each one's nanoseconds into `samples` while there is room, and returns those of all; 0: an answer did not come for 10 s. Both block.
   */
  wakeAnswer(asked: Uint8Array, answered: Uint8Array, seen: number, over: number): number;
  wakeAsk(asked: Uint8Array, answered: Uint8Array, last: number, count: number, samples: Float64Array): number;
  /** The lab's server of exits: counts those of the vCPUs whose runToPort() has this bell and these words, until none came for 100 ms. Blocks. */
  serveExits(bell: Uint8Array, exits: readonly Uint8Array[]): void;
  /**
   * The same for a guest that asks by an ioeventfd, event 0 of the waiter, and spins: copies `asked` to `answered` and adds 1 to `count` for each report. True when none came
   * for 100 ms or a signal did: call again; false when another event was reported. Blocks.
   */
  wakeAnswerEvent(waiter: NativeEventWaiter, asked: Uint8Array, answered: Uint8Array, count: Uint8Array): boolean;
  /**
   * Collects everything unreachable on the calling thread, and with it unmaps guest RAM that nobody holds. Blocks for some milliseconds.
   * False where this V8 offers no such function.
   */
  collectGarbage(): boolean;
  /** Tests only: the `nth` (1 = next) call from now on of a KVM ioctl by this name ('*' = any) fails with `errno`, once. '' disarms. KVM_RUN is not covered. */
  injectFault(ioctl: string, nth: number, errno: number): void;
  /**
   * One repetition of actor `actor` of the lab, as its block in the arena says (shared/lab/control.ts): arrives at the barrier, waits there, runs the C
   * kernel, writes times and results. Blocks until the kernel has ended, or EPOCH says that it is over. What lies outside of `arena` is refused: RangeError.
   */
  labRun(arena: SharedArrayBuffer, actor: number): void;
  /**
   * The lab's baseline of writes through the API while they are tracked: stores `value`, a u32, at the start of each whole page of `data`, and marks it, as
   * takeMarks() takes it.
   */
  writeMarked(data: Uint8Array, marks: Uint8Array, summary: Uint8Array, value: number): void;
}

/** What the addon exports besides its interface. */
interface LoadedAddon extends NativeAddon {
  setErrorClass(errorClass: typeof HypervisorError): void;
}

let root: string | undefined;

/** The package's folder, looked up once per thread. The package refers to itself: bundled or not, from wherever this code runs, that is where dist/ and prebuilds/ are. */
export function packageRoot(): string {
  root ??= dirname(createRequire(import.meta.url).resolve('node-kvm/package.json'));
  return root;
}

let addon: NativeAddon | undefined;

/** The addon, loaded on first use. Throws `ERR_UNSUPPORTED_RUNTIME` (not Linux x64, Electron) or `ERR_ADDON` with what to do. */
export function native(): NativeAddon {
  addon ??= load();
  return addon;
}

function load(): NativeAddon {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new HypervisorError(
      'ERR_UNSUPPORTED_RUNTIME',
      `node-kvm runs on Linux x86-64, not on ${process.platform} ${process.arch}`,
    );
  }
  if (process.versions['electron'] !== undefined) {
    throw new HypervisorError(
      'ERR_UNSUPPORTED_RUNTIME',
      'Electron forbids external array buffers (V8 sandbox): run node-kvm in a Node process',
    );
  }
  const require = createRequire(import.meta.url);
  try {
    const nodeGypBuild = require('node-gyp-build') as (root: string) => LoadedAddon;
    const loaded = nodeGypBuild(packageRoot());
    // Per thread, as the addon's own state is: what it throws here is then `instanceof` this thread's HypervisorError.
    loaded.setErrorClass(HypervisorError);
    return loaded;
  } catch (cause) {
    throw new HypervisorError(
      'ERR_ADDON',
      `the native addon did not load: ${(cause as Error).message}; in a clone run 'npm run build'`,
      { cause },
    );
  }
}
