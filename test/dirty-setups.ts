// Every way in which this machine tracks dirty pages, for tests that hold for all of them: each source, with a guest and without.
// Main thread. A source that the machine lacks, or that its probe refused, is skipped with that reason.

import { type DirtyTrackingOptions, KvmMemory, probeDirtySources, VirtualMachine } from 'node-kvm';
import { hasKvm, kvmSuite, type Suite, suiteUnless } from './harness.ts';
import { POKED_RAM, PokedGuest } from './poked-guest.ts';

const PAGE = 4096;

/** Who writes: a vCPU, the API on this thread, or a store into a typed array over the shared buffer. */
export type Kind = 'guest' | 'api' | 'raw';

/** Memory under tracking, and everybody who may write to it. The lowest MiB is the guest's own. */
export interface Tracked extends AsyncDisposable {
  readonly memory: KvmMemory;
  readonly vm: VirtualMachine | undefined;
  /** The writers that the source sees here. */
  readonly kinds: readonly Kind[];
  /** Stores 8 bytes; blocks until they are stored. */
  write(kind: Kind, addr: number, value?: bigint): void;
  /** Runs `body` with every vCPU outside KVM_RUN. */
  atRest<T>(body: () => T): Promise<T>;
  /** Runs `body` when everything that was written can be harvested. Quicker than `atRest` with most sources. */
  settled<T>(body: () => T): Promise<T>;
  /** When settled: the dirty pages above the lowest MiB as [page, pages], read and cleared. */
  dirty(): Promise<[number, number][]>;
}

export const SETUP_NAMES = [
  'host',
  'pagemap',
  'bitmap and guest',
  'manual bitmap and guest',
  'ring and guest',
  'pagemap and guest',
] as const;
export type SetupName = (typeof SETUP_NAMES)[number];

export interface Setup {
  readonly name: SetupName;
  readonly tracking: DirtyTrackingOptions;
  /** With a VM of one vCPU. */
  readonly withGuest: boolean;
  /** Base memory of 1 MiB and what `prepare` adds; tracking is on, nothing is dirty. Above 4 GiB a guest reaches only what `prepare` adds. */
  open(prepare?: (memory: KvmMemory) => void): Promise<Tracked>;
}

interface Choice {
  readonly name: SetupName;
  readonly tracking: DirtyTrackingOptions & { readonly source: 'bitmap' | 'ring' | 'pagemap' | 'host' };
  readonly withGuest: boolean;
  readonly kinds: readonly Kind[];
}

const CHOICES: readonly Choice[] = [
  { name: 'host', tracking: { source: 'host' }, withGuest: false, kinds: ['api'] },
  { name: 'pagemap', tracking: { source: 'pagemap' }, withGuest: false, kinds: ['api', 'raw'] },
  { name: 'bitmap and guest', tracking: { source: 'bitmap', log: 'plain' }, withGuest: true, kinds: ['guest', 'api'] },
  {
    name: 'manual bitmap and guest',
    tracking: { source: 'bitmap', log: 'manual' },
    withGuest: true,
    kinds: ['guest', 'api'],
  },
  { name: 'ring and guest', tracking: { source: 'ring', ringEntries: 1024 }, withGuest: true, kinds: ['guest', 'api'] },
  { name: 'pagemap and guest', tracking: { source: 'pagemap' }, withGuest: true, kinds: ['guest', 'api', 'raw'] },
];

/** Calls `define` with a suite for each setup that `wanted` does not refuse, and runs it. */
export function forEachSetup(
  name: string,
  define: (test: Suite, setup: Setup) => void,
  wanted: (setup: Pick<Setup, 'name' | 'withGuest'>) => boolean = () => true,
): void {
  for (const choice of CHOICES) {
    if (!wanted(choice)) continue;
    const test = suiteOf(`${name} (${choice.name})`, choice);
    define(test, { ...choice, open: prepare => open(choice, prepare) });
    test.run();
  }
}

function suiteOf(name: string, { tracking, withGuest }: Choice): Suite {
  if (withGuest && !hasKvm) return kvmSuite(name);
  const { available, reason } = probeDirtySources()[tracking.source];
  return suiteUnless(available ? undefined : `${tracking.source}: ${reason}`, name);
}

async function open(choice: Choice, prepare: (memory: KvmMemory) => void = () => {}): Promise<Tracked> {
  if (!choice.withGuest) {
    const memory = new KvmMemory(POKED_RAM);
    prepare(memory);
    memory.enableDirtyTracking(choice.tracking);
    return tracked(choice, memory, undefined, undefined);
  }
  const vm = await VirtualMachine.create({
    memory: POKED_RAM,
    // It waits for orders without sleeping: one more would only take the processor from this thread.
    vcpus: 1,
    engine: 'kvm',
    dirtyTracking: choice.tracking,
  });
  try {
    prepare(vm.memory);
    const guest = await PokedGuest.start(vm);
    const result = tracked(choice, vm.memory, vm, guest);
    await result.dirty();
    return result;
  } catch (error) {
    await vm[Symbol.asyncDispose]();
    throw error;
  }
}

function tracked(
  choice: Choice,
  memory: KvmMemory,
  vm: VirtualMachine | undefined,
  guest: PokedGuest | undefined,
): Tracked {
  const atRest = async <T>(body: () => T): Promise<T> => {
    await vm?.pause();
    try {
      return body();
    } finally {
      await vm?.resume();
    }
  };
  // A guest that waits for orders writes nothing. With rings, the last of what it wrote may be in none yet, until it leaves KVM_RUN.
  const settled = <T>(body: () => T): Promise<T> =>
    choice.tracking.source === 'ring' ? atRest(body) : Promise.resolve(body());
  return {
    memory,
    vm,
    kinds: choice.kinds,
    write(kind, addr, value = 0x1122_3344_5566_7788n) {
      if (kind === 'guest') guest?.write(addr, value);
      else if (kind === 'api') memory.write(addr, new Uint8Array(BigUint64Array.of(value).buffer));
      else memory.view(addr, 8).set(new Uint8Array(BigUint64Array.of(value).buffer));
    },
    atRest,
    settled,
    dirty: () =>
      settled(() =>
        memory
          .getDirtyPages()
          .filter(({ guestAddr }) => guestAddr >= POKED_RAM)
          .map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE] as [number, number]),
      ),
    async [Symbol.asyncDispose]() {
      if (vm === undefined) memory[Symbol.dispose]();
      else await vm[Symbol.asyncDispose]();
    },
  };
}
