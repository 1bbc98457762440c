// Every ioctl of a source fails once, in every operation that makes it: the state is as before, a retry works, and two consumers
// that replay what their harvests name end with equal copies. The names of the failed calls are exactly those that the source makes.
// Main thread; one test file per source calls this, since a source takes many machines' worth of pauses.

import type { DirtyHarvest, KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { EXPECTED, RESET } from './dirty-ioctls.ts';
import { OPERATIONS, type Operation, PAGE, PLACES } from './dirty-operations.ts';
import { forEachSetup, type Setup, type SetupName, type Tracked } from './dirty-setups.ts';
import { failEachIoctl } from './failing-ioctls.ts';

/** Replays what its harvests name into a copy; at rest the copy must equal the memory. */
class Consumer {
  readonly #source: { harvest(): DirtyHarvest };
  readonly #copies = new Map<number, Uint8Array>();

  constructor(source: { harvest(): DirtyHarvest }) {
    this.#source = source;
  }

  replay(memory: KvmMemory): void {
    using harvest = this.#source.harvest();
    for (const region of memory.regions()) {
      if (region.guestAddr < PLACES[0].guestAddr) continue;
      const live = memory.view(region.guestAddr, region.size);
      for (const page of bitsOf(harvest.bitmap(region))) {
        this.#copies.set(region.guestAddr + page * PAGE, live.slice(page * PAGE, (page + 1) * PAGE));
      }
    }
    harvest.commit();
  }

  assertEqual(memory: KvmMemory, what: string): void {
    for (const { guestAddr, size } of memory.regions()) {
      if (guestAddr < PLACES[0].guestAddr) continue;
      const live = memory.view(guestAddr, size);
      for (let at = 0; at < size; at += PAGE) {
        const copy = this.#copies.get(guestAddr + at) ?? new Uint8Array(PAGE);
        assert.is(
          Buffer.compare(live.subarray(at, at + PAGE), copy),
          0,
          `${what}: page 0x${(guestAddr + at).toString(16)}`,
        );
      }
    }
  }
}

function bitsOf(bytes: Uint8Array): number[] {
  return [...bytes].flatMap((byte, index) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter(bit => ((byte >> bit) & 1) === 1).map(bit => index * 8 + bit),
  );
}

const stateOf = ({ memory }: Tracked) => ({
  source: memory.dirtySource,
  regions: memory.regions().map(({ guestAddr, size, readOnly, slot }) => ({ guestAddr, size, readOnly, slot })),
});

async function failEach(setup: Setup, operation: Operation): Promise<string[]> {
  await using tracked = await setup.open(memory => {
    for (const { guestAddr, size } of PLACES) memory.addRegion(guestAddr, size);
  });
  const { memory, vm } = tracked;
  // A vCPU that waits may make a page dirty at any moment (of its page tables, where KVM reports those), and its slot then takes a call of the
  // log's more, or in the next try one less: the n-th call would be another one.
  const paused = setup.tracking.source === 'bitmap' ? vm : undefined;
  const consumers = [new Consumer(memory), new Consumer(memory.dirtyCursor('second'))];
  let count = 0;
  /** Every kind of writer writes to every region, each time elsewhere. */
  const write = () => {
    count += 1;
    for (const [index, kind] of tracked.kinds.entries()) {
      for (const { guestAddr, size } of PLACES) {
        const page = (count * 5 + index * 2) % (size / PAGE);
        tracked.write(kind, guestAddr + page * PAGE + ((count + index) % 512) * 8, BigInt(count * 16 + index));
      }
    }
  };
  const check = async (what: string) => {
    await tracked.settled(() => {
      for (const consumer of consumers) {
        consumer.replay(memory);
        consumer.assertEqual(memory, what);
      }
    });
  };

  return await failEachIoctl({
    async prepare() {
      write();
      operation.prepare?.(tracked, setup);
      await paused?.pause();
      return stateOf(tracked);
    },
    run: () => operation.run(tracked, setup),
    async undo() {
      await paused?.resume();
      operation.undo?.(tracked, setup);
      write();
      await check(`after ${operation.name}`);
    },
    async afterFailure(error, before) {
      await paused?.resume();
      const what = `${operation.name} after a failed ${error.syscall}`;
      assert.is(error.code, 'ERR_SYSCALL', what);
      assert.equal(stateOf(tracked), before, what);
      if (memory.dirtySource !== undefined) {
        write();
        await check(what);
      }
      operation.run(tracked, setup);
      operation.undo?.(tracked, setup);
      write();
      await check(`${what} and a retry`);
    },
  });
}

/** Defines and runs the tests of the setup of that name. */
export function testFailingIoctls(name: SetupName): void {
  forEachSetup(
    'dirty: failing ioctls',
    (test, setup) => {
      for (const operation of OPERATIONS) {
        if (operation.applies?.(setup) === false) continue;
        test(operation.name, async () => {
          const failed = await failEach(setup, operation);
          const names = failed.filter((call, index) => call !== RESET || failed[index - 1] !== RESET);
          assert.equal(names, EXPECTED[name][operation.name]);
        });
      }
    },
    setup => setup.name === name,
  );
}
