// Random sequences of everything that changes a memory, its slots and its dirty state, against a model that holds one record
// per page. With KVM a real VM is attached (its guest writes pages too, and its ioctls are made to fail); without, the host part
// alone. 10^5 operations. The seed is printed; FC_SEED=<seed> replays, MODEL_RUNS=<n> sets how many sequences.

import fc from 'fast-check';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { hasKvm } from '../harness.ts';
import { type Code, MemoryModel, type Page } from '../memory-model.ts';
import { TinyGuest } from '../tiny-guest.ts';

const test = suite('memory: model');

const PAGE = 4096;
const BASE_PAGES = 40;
/** Regions come and go in pages [0, WINDOW). */
const WINDOW = 160;
const OPERATIONS = 1000;
const RUNS = Number(process.env['MODEL_RUNS'] ?? 125);
const ENOMEM = 12;

const page = fc.integer({ min: 0, max: WINDOW - 1 });
const pages = fc.integer({ min: 1, max: 24 });
const byte = fc.integer({ min: 0, max: 255 });
const range = fc.record({
  at: fc.integer({ min: 0, max: WINDOW * PAGE - 1 }),
  length: fc.integer({ min: 0, max: 3 * PAGE }),
});

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('add' as const), page, pages, readOnly: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('alias' as const), page, from: page, pages, readOnly: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), index: fc.nat(20) }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('write' as const), range, value: byte }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('memset' as const), range, value: byte }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('read' as const), range }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('protect' as const), page, pages, readOnly: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('toggle' as const), on: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('harvest' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('end' as const), commit: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('dirty' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('register' as const),
      index: fc.nat(20),
      slot: fc.nat(12),
      readOnly: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unregister' as const), slot: fc.nat(12) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('guest' as const), page: fc.integer({ min: 1, max: 15 }) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('fault' as const), nth: fc.integer({ min: 1, max: 6 }) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** What the call throws, by code. */
function outcome(call: () => unknown): Code {
  try {
    call();
    return 'ok';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

/** One memory beside its model. */
class Pair {
  readonly memory = new KvmMemory(BASE_PAGES * PAGE);
  readonly model = new MemoryModel(BASE_PAGES);
  readonly guest = hasKvm ? new TinyGuest() : undefined;
  #harvest: ReturnType<KvmMemory['harvest']> | undefined;
  #faulty = 0;

  constructor() {
    if (this.guest === undefined) return;
    this.memory.attachVmFd(this.guest.vmFd);
    this.model.attached = true;
    for (const each of this.model.pages.values()) each.slotted = true;
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
    this.guest?.close();
  }

  /** Does `operation` to both and compares what comes out. */
  step(operation: Operation): void {
    if (operation.op === 'fault') {
      this.#faulty = operation.nth;
      return;
    }
    const { call, expected, apply } = this.#plan(operation);
    // A guest's run has no ioctl that may fail.
    if (this.#faulty > 0 && operation.op !== 'guest') native().injectFault('*', this.#faulty, ENOMEM);
    const result = outcome(call);
    native().injectFault('', 0, 0);
    // All or nothing: a failed system call leaves everything as it was.
    if (result === 'ERR_SYSCALL' && this.#faulty > 0) assert.is(expected, 'ok');
    else {
      assert.is(result, expected, JSON.stringify(operation));
      if (result === 'ok') apply();
    }
    this.#faulty = 0;
  }

  #plan(operation: Operation): { call: () => unknown; expected: Code; apply: () => void } {
    const { memory, model } = this;
    switch (operation.op) {
      case 'add': {
        const { page: first, pages: count, readOnly } = operation;
        return {
          call: () => memory.addRegion(first * PAGE, count * PAGE, { readOnly }),
          expected: model.overlaps(first, count) ? 'ERR_MEMORY_OVERLAP' : 'ok',
          apply: () => model.add(first, count, readOnly),
        };
      }
      case 'alias': {
        const { page: first, from, pages: count, readOnly } = operation;
        const cells = model.contiguousCells(from, count);
        if (cells === undefined) return nothing;
        return {
          call: () =>
            memory.addExternalRegion(first * PAGE, memory.getHostAddress(from * PAGE), count * PAGE, readOnly),
          expected: model.overlaps(first, count) ? 'ERR_MEMORY_OVERLAP' : 'ok',
          apply: () => model.alias(first, cells, readOnly),
        };
      }
      case 'remove': {
        const region = memory.regions()[operation.index];
        if (region === undefined) {
          return {
            call: () => memory.removeRegion(2 * WINDOW * PAGE),
            expected: 'ERR_MEMORY_UNMAPPED',
            apply: () => {},
          };
        }
        return {
          call: () => memory.removeRegion(region.guestAddr),
          expected: 'ok',
          apply: () => model.remove(region.guestAddr / PAGE, region.size / PAGE),
        };
      }
      case 'write': {
        const { at, length } = operation.range;
        const bytes = Uint8Array.from({ length }, (_none, index) => operation.value + index);
        return {
          call: () => memory.write(at, bytes),
          expected: model.access(at, length, true),
          apply: () => model.write(at, bytes),
        };
      }
      case 'memset': {
        const { at, length } = operation.range;
        return {
          call: () => memory.memset(at, operation.value, length),
          expected: model.access(at, length, true),
          apply: () => model.write(at, new Uint8Array(length).fill(operation.value)),
        };
      }
      case 'read': {
        const { at, length } = operation.range;
        const into = new Uint8Array(length);
        return {
          call: () => memory.read(at, into),
          expected: model.access(at, length, false),
          apply: () => assert.ok(Buffer.from(into).equals(model.read(at, length))),
        };
      }
      case 'protect': {
        const { page: first, pages: count, readOnly } = operation;
        return {
          call: () => memory.setReadOnly(first * PAGE, count * PAGE, readOnly),
          expected: model.mapped(first, count) ? 'ok' : 'ERR_MEMORY_UNMAPPED',
          apply: () => model.protect(first, count, readOnly),
        };
      }
      case 'toggle':
        return {
          call: () => memory.setDirtyTrackingEnabled(operation.on),
          expected: 'ok',
          apply: () => model.toggle(operation.on),
        };
      case 'harvest':
        return {
          call: () => {
            this.#harvest = memory.harvest();
          },
          expected: model.harvestOutcome(),
          apply: () => {
            model.begin();
            assert.equal(pagesOf(this.#harvest?.ranges() ?? []), model.reported());
            assert.is(this.#harvest?.pageCount, model.reported().length);
          },
        };
      case 'end': {
        const harvest = this.#harvest;
        if (harvest === undefined) return nothing;
        return {
          call: () => (operation.commit ? harvest.commit() : harvest.abort()),
          expected: model.open ? 'ok' : 'ERR_HARVEST_ENDED',
          apply: () => model.end(operation.commit),
        };
      }
      case 'dirty': {
        let found: number[] = [];
        return {
          call: () => {
            found = pagesOf(memory.getDirtyPages());
          },
          expected: model.harvestOutcome(),
          apply: () => {
            model.begin();
            assert.equal(found, model.reported());
            model.end(true);
          },
        };
      }
      case 'register': {
        const regions = memory.regions();
        const region = regions[operation.index % Math.max(1, regions.length)];
        if (region === undefined) return nothing;
        const { guestAddr, size, hostAddr } = region;
        const taken = regions.some(other => other !== region && other.slot === operation.slot);
        return {
          call: () => memory.registerSlot(operation.slot, guestAddr, size, hostAddr, operation.readOnly ? 2 : 0),
          expected: !model.attached ? 'ERR_VM_NOT_ATTACHED' : taken ? 'ERR_SLOT_EXISTS' : 'ok',
          apply: () => {
            model.slots(guestAddr / PAGE, size / PAGE, { slotted: true, slotReadOnly: operation.readOnly });
            assert.is(memory.regions().find(each => each.guestAddr === guestAddr)?.slot, operation.slot);
          },
        };
      }
      case 'unregister': {
        const region = memory.regions().find(each => each.slot === operation.slot);
        return {
          call: () => memory.unregisterSlot(operation.slot),
          expected: region === undefined ? 'ERR_SLOT_UNKNOWN' : 'ok',
          apply: () => {
            if (region === undefined) return;
            model.slots(region.guestAddr / PAGE, region.size / PAGE, { slotted: false, slotReadOnly: false });
          },
        };
      }
      case 'guest': {
        const { guest } = this;
        if (guest === undefined) return nothing;
        const target = model.pages.get(operation.page);
        let how = '';
        return {
          call: () => {
            how = guest.write(operation.page * PAGE + 8, 0x5a);
          },
          expected: 'ok',
          apply: () => {
            const reaches = target?.slotted === true && !target.readOnly && !target.slotReadOnly;
            assert.is(how, reaches ? 'ram' : 'mmio');
            if (reaches) model.guestWrite(operation.page, 8, 0x5a);
          },
        };
      }
      default:
        throw new Error(`no such operation: ${operation.op}`);
    }
  }

  /** The region table says of every page what the model says. */
  check(): void {
    const seen = new Map<number, Omit<Page, 'cell' | 'slotReadOnly'>>();
    const slots: number[] = [];
    let end = 0;
    for (const { guestAddr, size, readOnly, slot } of this.memory.regions()) {
      assert.ok(guestAddr >= end && size > 0, 'ascending, not overlapping');
      end = guestAddr + size;
      if (slot !== undefined) slots.push(slot);
      for (let at = guestAddr; at < end; at += PAGE) seen.set(at / PAGE, { readOnly, slotted: slot !== undefined });
    }
    assert.is(new Set(slots).size, slots.length);
    const expected = [...this.model.pages]
      .sort(([a], [b]) => a - b)
      .map(([at, { readOnly, slotted }]) => [at, { readOnly, slotted }]);
    assert.equal([...seen], expected);
    assert.is(this.memory.size(), this.model.pages.size * PAGE);
    assert.is(this.memory.addressLimit(), end);
    const dump = new Uint8Array(end);
    this.memory.dumpAll(dump);
    assert.ok(Buffer.from(dump).equals(this.model.dump(end)));
  }
}

const nothing = { call: () => {}, expected: 'ok' as Code, apply: () => {} };

function pagesOf(ranges: readonly { guestAddr: number; size: number }[]): number[] {
  return ranges.flatMap(({ guestAddr, size }) =>
    Array.from({ length: size / PAGE }, (_none, index) => guestAddr / PAGE + index),
  );
}

test(`${RUNS} sequences of about ${OPERATIONS} operations${hasKvm ? ', with a VM' : ', host alone'}`, () => {
  const seed = Number(process.env['FC_SEED'] ?? Math.trunc(Math.random() * 0x7fff_ffff));
  console.log(`memory-model: FC_SEED=${seed}`);
  let done = 0;
  const sequence = fc.array(operation, { minLength: 1, maxLength: 2 * OPERATIONS, size: 'max' });
  const report = fc.check(
    fc.property(sequence, operations => {
      using pair = new Pair();
      for (const each of operations) pair.step(each);
      pair.check();
      done += operations.length;
    }),
    { numRuns: RUNS, seed },
  );
  if (report.failed) {
    const steps = report.counterexample?.[0].map(each => JSON.stringify(each)).join('\n');
    console.log(
      `fails after ${report.numRuns} sequences, with these operations (seed ${seed}, path ${report.counterexamplePath}):\n${steps}`,
    );
    throw report.errorInstance;
  }
  console.log(`memory-model: ${done} operations`);
});

test.run();
