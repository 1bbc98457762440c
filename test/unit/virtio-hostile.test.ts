// Drivers that break the rules: each rule by itself, and rings of random bytes under a running device. A device ends in
// DEVICE_NEEDS_RESET or goes on; it never throws, hangs, or forgets how to be reset. FC_SEED=<seed> replays. Without KVM.

import { randomFillSync } from 'node:crypto';
import fc from 'fast-check';
import { KvmMemory, u16le, u32le, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Disk, VirtioBlk } from '../../shared/virtio/blk.ts';
import { VIRTIO_F } from '../../shared/virtio/device.ts';
import { MMIO, STATUS } from '../../shared/virtio/mmio.ts';
import { VirtioRng } from '../../shared/virtio/rng.ts';
import { LAYOUT, ModelDriver, type RingChoice } from '../virtio-driver.ts';

const test = suite('virtio, hostile drivers');
const MEMORY = 0x8_0000;
const SIZE = 16;
const SPLIT = { packed: false, eventIndex: false, indirect: true, size: SIZE };
const PACKED = { ...SPLIT, packed: true };
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAILABLE = 0x80;
const seed = Number(process.env['FC_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = Number(process.env['HOSTILE_RUNS'] ?? 300);

interface Raw {
  readonly at?: number | bigint;
  readonly length?: number;
  readonly flags?: number;
  /** `next` in a split ring, the id in a packed one. */
  readonly other?: number;
}

/** Descriptor `index` of the table at `table`, raw. */
function describe(
  memory: KvmMemory,
  packed: boolean,
  index: number,
  raw: Raw,
  table: number = LAYOUT.DESCRIPTORS,
): void {
  const { at = LAYOUT.BUFFERS, length = 8, flags = WRITE, other = 0 } = raw;
  memory.writeObj(table + 16 * index, u64le, BigInt(at));
  memory.writeObj(table + 16 * index + 8, u32le, length);
  memory.writeObj(table + 16 * index + 12, u16le, packed ? other : flags);
  memory.writeObj(table + 16 * index + 14, u16le, packed ? flags | AVAILABLE : other);
}

/** What the device says to the descriptors, of which the first is made available. */
function faultOf(choice: RingChoice, direct: readonly Raw[], table: readonly Raw[] = []): string {
  using memory = new KvmMemory(MEMORY);
  const driver = new ModelDriver(new VirtioRng(randomFillSync), memory, choice).setUp();
  for (const [i, raw] of table.entries()) describe(memory, choice.packed, i, raw, LAYOUT.TABLES);
  for (const [i, raw] of direct.entries()) describe(memory, choice.packed, i, raw);
  if (!choice.packed) memory.writeObj(LAYOUT.DRIVER + 2, u16le, 1);
  driver.set(MMIO.QUEUE_NOTIFY, 0);
  const [fault] = driver.faults;
  assert.is((driver.mmio.status & STATUS.NEEDS_RESET) !== 0, fault !== undefined);
  if (fault === undefined) return 'none';
  assert.is(driver.get(MMIO.INTERRUPT_STATUS), 2, 'the driver is told by a configuration interrupt');
  driver.set(MMIO.QUEUE_NOTIFY, 0);
  assert.is(driver.faults.length, 1, 'nothing more comes of it');
  memory.memset(LAYOUT.DESCRIPTORS, 0, 0x4000);
  assert.is(driver.setUp().mmio.status, 15, 'a reset brings the device back');
  return fault;
}

for (const choice of [SPLIT, PACKED]) {
  const kind = choice.packed ? 'packed' : 'split';
  const says = (direct: readonly Raw[], table: readonly Raw[], expected: RegExp) =>
    assert.match(faultOf(choice, direct, table), expected);
  const indirect = { at: LAYOUT.TABLES, length: 32, flags: INDIRECT };

  test(`${kind}: buffers that are no RAM, empty, too long, or in the wrong order`, () => {
    says([{}], [], /none/);
    says([{ length: 0 }], [], /zero bytes/);
    says([{ at: MEMORY }], [], /not writable RAM/);
    says([{ at: MEMORY - 4 }], [], /not writable RAM/);
    says([{ at: 0xffff_ffff_ffff_fff8n }], [], /not writable RAM/);
    says([{ length: 0xffff_ffff }], [], /not writable RAM/);
    says([{ flags: WRITE | NEXT, other: 1 }, { flags: 0 }], [], /readable descriptor after a writable/);
  });

  test(`${kind}: loops and indices beyond the table`, () => {
    const loop = Array.from({ length: SIZE }, (_, i) => ({ flags: WRITE | NEXT, other: (i + 1) % SIZE }));
    says(loop, [], choice.packed ? /descriptor 0 of a chain is not available/ : /a loop/);
    if (choice.packed) return;
    says([{ flags: WRITE | NEXT, other: 0 }], [], /a loop/);
    says([{ flags: WRITE | NEXT, other: SIZE }], [], /descriptor 16 of a table of 16/);
    says([indirect], [{ flags: WRITE | NEXT, other: 0 }], /a loop/);
    says([indirect], [{ flags: WRITE | NEXT, other: 2 }], /descriptor 2 of a table of 2/);
  });

  test(`${kind}: indirect tables`, () => {
    says([indirect], [{ flags: WRITE | NEXT, other: 1 }, {}], /none/);
    says([{ ...indirect, length: 0 }], [], /table of 0x0 bytes/);
    says([{ ...indirect, length: 24 }], [], /table of 0x18 bytes/);
    says([{ ...indirect, length: 1025 * 16 }], [], /table of 0x4010 bytes/);
    says([{ ...indirect, at: MEMORY - 16 }], [], /not RAM/);
    says([{ ...indirect, flags: INDIRECT | NEXT, other: 1 }, {}], [], /with a next one/);
    says([indirect], [indirect], /in an indirect table/);
    assert.match(faultOf({ ...choice, indirect: false }, [indirect]), /not negotiated/);
  });

  test(`${kind}: rings of impossible sizes, misaligned, or outside RAM`, () => {
    const ready = (change: (driver: ModelDriver) => void): string => {
      using memory = new KvmMemory(MEMORY);
      const driver = new ModelDriver(new VirtioRng(randomFillSync), memory, choice).setUp();
      driver.set(MMIO.QUEUE_READY, 0);
      change(driver);
      driver.set(MMIO.QUEUE_READY, 1);
      assert.is(driver.get(MMIO.QUEUE_READY), driver.faults.length === 0 ? 1 : 0);
      return driver.faults[0] ?? 'none';
    };
    assert.is(
      ready(() => {}),
      'none',
    );
    for (const [register, value] of [
      [MMIO.QUEUE_SIZE, 0],
      [MMIO.QUEUE_SIZE, 0xffff_ffff],
      [MMIO.QUEUE_SIZE, 128],
      [MMIO.QUEUE_DESC_LOW, LAYOUT.DESCRIPTORS + 8],
      [MMIO.QUEUE_DESC_LOW, MEMORY - 16],
      [MMIO.QUEUE_DESC_HIGH, 0xffff_ffff],
      [MMIO.QUEUE_DRIVER_LOW, LAYOUT.DRIVER + 1],
      [MMIO.QUEUE_DRIVER_HIGH, 1],
      [MMIO.QUEUE_DEVICE_LOW, LAYOUT.DEVICE + 2],
      [MMIO.QUEUE_DEVICE_LOW, MEMORY],
    ] as const)
      assert.is.not(
        ready(driver => driver.set(register, value)),
        'none',
        `${register.toString(16)} = ${value}`,
      );
  });
}

test('split: an index that is further ahead than the ring is long', () => {
  using memory = new KvmMemory(MEMORY);
  const driver = new ModelDriver(new VirtioRng(randomFillSync), memory, SPLIT).setUp();
  memory.writeObj(LAYOUT.DRIVER + 2, u16le, SIZE + 1);
  driver.set(MMIO.QUEUE_NOTIFY, 0);
  assert.match(driver.faults[0] ?? '', /17 available entries in a ring of 16/);
});

test('the RAM of a ring that is taken away under it', () => {
  using memory = new KvmMemory(MEMORY);
  memory.addRegion(0x100_0000, 0x1000);
  const driver = new ModelDriver(new VirtioRng(randomFillSync), memory, SPLIT).setUp();
  driver.set(MMIO.QUEUE_READY, 0);
  driver.set(MMIO.QUEUE_DRIVER_LOW, 0x100_0000);
  driver.set(MMIO.QUEUE_READY, 1);
  memory.removeRegion(0x100_0000);
  driver.set(MMIO.QUEUE_NOTIFY, 0);
  assert.match(driver.faults[0] ?? '', /no memory at 0x1000002/);
});

/** A disk that does nothing, at once. */
const idle: Disk = {
  capacity: 1 << 20,
  readOnly: false,
  id: 'idle',
  read: async () => {},
  write: async () => {},
  flush: async () => {},
  discard: async () => {},
  writeZeroes: async () => {},
};

test('random registers, and random bytes in rings, tables and headers, never throw or hang', () => {
  const AREAS = [LAYOUT.DESCRIPTORS, LAYOUT.DRIVER, LAYOUT.DEVICE, LAYOUT.TABLES, LAYOUT.BUFFERS] as const;
  // Values near the edges of rings and memory, and anything else.
  const word = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 0x80, 0x81, 0x82, 0x84, 0x7fff, 0x8000, 0xffff),
    fc.constantFrom(LAYOUT.BUFFERS, LAYOUT.TABLES, LAYOUT.DESCRIPTORS, MEMORY - 1, MEMORY, 512, 0x8000_0000),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  );
  const action = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ op: fc.constant('poke' as const), area: fc.constantFrom(...AREAS), at: fc.nat(63), word }),
    },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('add' as const), length: fc.integer({ min: 1, max: 600 }) }) },
    { weight: 3, arbitrary: fc.constant({ op: 'kick' as const }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('register' as const), at: fc.nat(0x2ff), word }) },
    { weight: 1, arbitrary: fc.constant({ op: 'setUp' as const }) },
  );
  const ring = fc.record({
    packed: fc.boolean(),
    eventIndex: fc.boolean(),
    indirect: fc.boolean(),
    size: fc.constant(SIZE),
  });
  const property = fc.property(
    ring,
    fc.boolean(),
    fc.array(action, { minLength: 20, maxLength: 200 }),
    (choice, blk, all) => {
      using memory = new KvmMemory(MEMORY);
      const device = () => (blk ? new VirtioBlk(idle) : new VirtioRng(randomFillSync));
      let driver = new ModelDriver(device(), memory, choice).setUp();
      for (const each of all) {
        if (each.op === 'poke') memory.writeObj(each.area + 4 * each.at, u32le, each.word);
        else if (each.op === 'register') driver.set(each.at & ~3, each.word);
        else if (each.op === 'kick') driver.set(MMIO.QUEUE_NOTIFY, 0);
        else if (each.op === 'add' && driver.room >= 3) {
          const at = LAYOUT.BUFFERS + 0x100;
          driver.add(
            [{ at, length: 16 }],
            [
              { at: at + 0x1000, length: each.length },
              { at: at + 0x800, length: 1 },
            ],
          );
        } else if (each.op === 'setUp') {
          memory.memset(LAYOUT.DESCRIPTORS, 0, 0x5000);
          driver = new ModelDriver(device(), memory, choice).setUp();
        }
      }
      driver.set(MMIO.STATUS, 0);
      assert.is(driver.mmio.status, 0);
      memory.memset(LAYOUT.DESCRIPTORS, 0, 0x5000);
      assert.is(driver.setUp().mmio.status, 15, 'whatever happened, a reset brings the device back');
    },
  );
  fc.assert(property, { numRuns: RUNS, seed });
});

test('features: what was not offered, or VERSION_1 left out, is not FEATURES_OK; and no queue without it', () => {
  using memory = new KvmMemory(MEMORY);
  const driver = new ModelDriver(new VirtioRng(randomFillSync), memory, SPLIT);
  const negotiate = (features: bigint): number => {
    driver.set(MMIO.STATUS, 0);
    driver.set(MMIO.STATUS, 3);
    for (const half of [0, 1]) {
      driver.set(MMIO.DRIVER_FEATURES_SEL, half);
      driver.set(MMIO.DRIVER_FEATURES, Number((features >> BigInt(32 * half)) & 0xffff_ffffn));
    }
    driver.set(MMIO.STATUS, 11);
    return driver.get(MMIO.STATUS);
  };
  assert.is(negotiate(VIRTIO_F.VERSION_1), 11);
  assert.is(negotiate(0n), 3);
  assert.is(negotiate(VIRTIO_F.VERSION_1 | 1n), 3);
  driver.set(MMIO.QUEUE_SIZE, SIZE);
  driver.set(MMIO.QUEUE_READY, 1);
  assert.is(driver.get(MMIO.QUEUE_READY), 0);
  driver.set(MMIO.STATUS, 15);
  assert.is(driver.get(MMIO.STATUS), 3, 'DRIVER_OK needs FEATURES_OK');
});

test('registers: identity, widths, interrupt acknowledgement', () => {
  using memory = new KvmMemory(MEMORY);
  const driver = new ModelDriver(new VirtioBlk(idle), memory, SPLIT).setUp();
  assert.equal(
    [0, 4, 8].map(register => driver.get(register)),
    [0x7472_6976, 2, 2],
  );
  assert.is(driver.mmio.read(MMIO.MAGIC, 1), 0, 'registers are 32 bits wide');
  assert.is(driver.mmio.read(0x100 + 1, 1), 8, '2048 sectors, byte by byte');
  assert.is(driver.mmio.read(0x100, 2), 2048);
  assert.is(driver.mmio.read(0x100, 8), 2048n);
  assert.is(driver.mmio.read(0xffc, 4), 0);
  assert.is(driver.get(0x0b0), 0xffff_ffff);
  driver.set(MMIO.QUEUE_SEL, 7);
  assert.is(driver.get(MMIO.QUEUE_SIZE_MAX), 0);
  memory.memset(LAYOUT.BUFFERS, 9, 4);
  driver.add([{ at: LAYOUT.BUFFERS, length: 16 }], [{ at: LAYOUT.BUFFERS + 0x100, length: 1 }]);
  driver.set(MMIO.QUEUE_NOTIFY, 0);
  assert.is(driver.get(MMIO.INTERRUPT_STATUS), 1);
  driver.set(MMIO.INTERRUPT_ACK, 1);
  assert.is(driver.get(MMIO.INTERRUPT_STATUS), 0);
});

test.run();
