// What is done to a memory under tracking, each with its way back: for tests that make every step of it fail. Main thread.

import { type DirtyTrackingOptions, type KvmMemory, probeDirtySources } from 'node-kvm';
import type { Setup, Tracked } from './dirty-setups.ts';

export const PAGE = 4096;

/** The regions that such a memory has besides its lowest MiB: three words of a bitmap, a part of a word, and a page. */
export const PLACES = [
  { guestAddr: 0x100_0000, size: 131 * PAGE },
  { guestAddr: 0x200_0000, size: 7 * PAGE },
  { guestAddr: 0x300_0000, size: PAGE },
] as const;
const NEW = { guestAddr: 0x400_0000, size: 5 * PAGE };

/** Host address of the region that was removed. */
const removed = new WeakMap<KvmMemory, bigint>();

export interface Operation {
  readonly name: string;
  /** It is one of this setup's, on this machine. */
  applies?(setup: Setup): boolean;
  /** Before each try. */
  prepare?(tracked: Tracked, setup: Setup): void;
  run(tracked: Tracked, setup: Setup): void;
  /** Back to the state before `prepare`. */
  undo?(tracked: Tracked, setup: Setup): void;
}

const pagemapWorks = () => probeDirtySources().pagemap.available;

/** As the setup tracks; the ring's size was chosen with the machine. */
function own({ tracking }: Setup): DirtyTrackingOptions {
  const { ringEntries: _, ...rest } = tracking;
  return rest;
}

/** Another source for the same memory. */
function other({ tracking, withGuest }: Setup): DirtyTrackingOptions {
  if (tracking.source !== 'pagemap') return { source: 'pagemap' };
  return { source: withGuest ? 'bitmap' : 'host' };
}

const harvest = (source: { harvest(): Disposable }) => {
  // Aborted: the consumers of the test have their own.
  using _ = source.harvest();
};

export const OPERATIONS: readonly Operation[] = [
  { name: 'harvest', run: ({ memory }) => harvest(memory) },
  {
    name: 'harvest of a cursor',
    run: ({ memory }) => {
      using cursor = memory.dirtyCursor('of its own');
      harvest(cursor);
    },
  },
  {
    name: 'enable',
    prepare: ({ memory }) => memory.disableDirtyTracking(),
    run: ({ memory }, setup) => memory.enableDirtyTracking(own(setup)),
  },
  {
    name: 'disable',
    run: ({ memory }) => memory.disableDirtyTracking(),
    undo: ({ memory }, setup) => memory.enableDirtyTracking(own(setup)),
  },
  {
    // A plain log in place of a manual one; or a manual one that begins with every page dirty, in place of a plain one.
    name: 'enable with the other log',
    applies: ({ tracking }) => tracking.source === 'bitmap',
    prepare: ({ memory }) => memory.disableDirtyTracking(),
    run: ({ memory }, { tracking }) =>
      memory.enableDirtyTracking({
        source: 'bitmap',
        log: tracking.log === 'manual' ? 'plain' : 'manual',
        initially: 'dirty',
      }),
    undo: ({ memory }, setup) => {
      memory.disableDirtyTracking();
      memory.enableDirtyTracking(own(setup));
    },
  },
  {
    name: 'switch to another source',
    applies: () => pagemapWorks(),
    run: ({ memory }, setup) => memory.enableDirtyTracking(other(setup)),
    undo: ({ memory }, setup) => memory.enableDirtyTracking(own(setup)),
  },
  {
    name: 'add a region',
    run: ({ memory }) => {
      memory.addRegion(NEW.guestAddr, NEW.size);
    },
    undo: ({ memory }) => memory.removeRegion(NEW.guestAddr),
  },
  {
    name: 'remove a region',
    prepare: ({ memory }) => {
      memory.addRegion(NEW.guestAddr, NEW.size);
    },
    run: ({ memory }) => memory.removeRegion(NEW.guestAddr),
  },
  {
    // A source may fail to say what was written last when a region has gone: then all of it counts as written.
    name: 'remove a region whose memory comes back',
    run: ({ memory }) => {
      const { guestAddr } = PLACES[1];
      const region = memory.regions().find(each => each.guestAddr === guestAddr);
      memory.removeRegion(guestAddr);
      removed.set(memory, region?.hostAddr ?? 0n);
    },
    undo: ({ memory }) => {
      memory.addExternalRegion(PLACES[1].guestAddr, removed.get(memory) ?? 0n, PLACES[1].size, false);
    },
  },
  {
    name: 'split a region',
    run: ({ memory }) => memory.setReadOnly(PLACES[0].guestAddr + 65 * PAGE, 2 * PAGE, true),
    undo: ({ memory }) => memory.setReadOnly(PLACES[0].guestAddr + 65 * PAGE, 2 * PAGE, false),
  },
];
