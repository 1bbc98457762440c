// memory.watch and guests: stores of every width and kind reach memory and are reported with their vCPU, others in the page reach memory only;
// while vCPUs run watches open and close without a store being lost.

import { KvmMemory, type VirtualMachine, type WatchedWrite } from 'node-kvm';
import * as assert from 'uvu/assert';
import { at, code, jump, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest, until, words32 } from '../run-guest.ts';
import { COUNTERS, counters, startSpinning } from '../spinning-guest.ts';

const test = kvmSuite('watch: guest writes');

const PAGE = 4096;
const AREA = 0x10000;

type Seen = [guestAddr: number, data: number[]];

/** Runs the guest with a watch on [guestAddr, guestAddr + size), until it has halted and `count` writes were reported. */
async function runWatched(
  bytes: Uint8Array,
  options: Parameters<typeof runGuest>[1],
  range: { guestAddr: number; size: number; count: number },
  inspect: (vm: VirtualMachine) => void = () => {},
) {
  const writes: WatchedWrite[] = [];
  const result = await runGuest(
    bytes,
    {
      ...options,
      onLoaded: vm => {
        options.onLoaded?.(vm);
        vm.memory.watch(range, write => void writes.push(write));
      },
    },
    async vm => {
      if (vm.state === 'finished') await until(() => writes.length >= range.count, `${range.count} reports`);
      inspect(vm);
    },
  );
  return { result, writes, seen: writes.map(({ guestAddr, data }): Seen => [guestAddr, [...(data ?? [])]]) };
}

const stores = code(
  [0xc6, 0x05, ...le32(AREA), 0x11], //                         mov byte ptr [AREA], 0x11
  [0x66, 0xc7, 0x05, ...le32(AREA + 2), 0x22, 0x22], //         mov word ptr [AREA + 2], 0x2222
  [0xc7, 0x05, ...le32(AREA + 4), ...le32(0x33333333)], //      mov dword ptr [AREA + 4], 0x33333333
  [0xc7, 0x05, ...le32(AREA + 0x40), ...le32(0x44444444)], //   mov dword ptr [AREA + 0x40], 0x44444444
  [0xb8, ...le32(5)], //                                        mov eax, 5
  [0xf0, 0x0f, 0xc1, 0x05, ...le32(AREA + 4)], //               lock xadd [AREA + 4], eax
  [0xa3, ...le32(AREA - PAGE)], //                              mov [AREA - PAGE], eax
  [0xf4], //                                                    hlt
);

test('each store is done and reported, one elsewhere in the page is done only', async () => {
  let words: number[] = [];
  const { result, writes, seen } = await runWatched(
    stores,
    { mode: 32 },
    { guestAddr: AREA, size: 8, count: 4 },
    vm => {
      words = [...words32(vm, AREA, 2), ...words32(vm, AREA + 0x40, 1), ...words32(vm, AREA - PAGE, 1)];
    },
  );

  assert.is(result.reason, 'halt');
  assert.equal(seen, [
    [AREA, [0x11]],
    [AREA + 2, [0x22, 0x22]],
    [AREA + 4, [0x33, 0x33, 0x33, 0x33]],
    [AREA + 4, [0x38, 0x33, 0x33, 0x33]],
  ]);
  assert.equal(words, [0x2222_0011, 0x3333_3338, 0x4444_4444, 0x3333_3333]);
  assert.equal(writes[0]?.writer, { kind: 'vcpu', index: 0 });
});

/** Fills 64 bytes around the border of two pages, from 32 bytes before it. */
const fill = code(
  [0xfc], //                             cld
  [0xbf, ...le32(AREA - 32)], //         mov edi, AREA - 32
  [0xb9, ...le32(16)], //                mov ecx, 16
  [0xb8, ...le32(0x01020304)], //        mov eax, 0x01020304
  [0xf3, 0xab], //                       rep stosd
  [0xc7, 0x05, ...le32(AREA - 2), ...le32(0x0a0b0c0d)], // mov dword ptr [AREA - 2], 0x0a0b0c0d
  [0xf4], //                             hlt
);

test('a string store, and a store over the border, into a watched page and from one', async () => {
  for (const page of [AREA, AREA - PAGE]) {
    let words: number[] = [];
    const { result, seen } = await runWatched(fill, { mode: 32 }, { guestAddr: page, size: PAGE, count: 9 }, vm => {
      words = words32(vm, AREA - 32, 16);
    });

    const expected = new Array(16).fill(0x01020304);
    expected[7] = 0x0c0d0304;
    expected[8] = 0x01020a0b;
    const copy = new Uint8Array(new Uint32Array(expected.slice(page < AREA ? 0 : 8).slice(0, 8)).buffer);
    const told = new Uint8Array(32);
    for (const [addr, data] of seen) told.set(data, addr - (page < AREA ? AREA - 32 : AREA));
    assert.is(result.reason, 'halt');
    assert.equal(words, expected);
    assert.equal(told, copy);
  }
});

test('what the guest writes to a watched page is dirty', async () => {
  let dirty: unknown;
  await runWatched(stores, { mode: 32, dirtyTracking: true }, { guestAddr: AREA, size: 8, count: 4 }, vm => {
    dirty = vm.memory.getDirtyPages().some(({ guestAddr, size }) => guestAddr <= AREA && AREA < guestAddr + size);
  });

  assert.is(dirty, true);
});

test('a watch on read-only memory: the store is a device’s, and no write', async () => {
  const device = recorder({ mmio: { base: AREA, length: PAGE } });
  const onLoaded = (vm: VirtualMachine) => vm.memory.setReadOnly(AREA, PAGE, true);
  const { result, seen } = await runWatched(
    stores,
    { mode: 32, devices: [device.device], onLoaded },
    { guestAddr: AREA, size: 8, count: 0 },
  );

  assert.is(result.reason, 'halt');
  assert.is(device.written.length, 5);
  assert.equal(seen, []);
});

test('an instruction that KVM cannot emulate ends the VM, and the error says why it had to', async () => {
  const unknown = code([0xdd, 0x1d, ...le32(AREA)], [0xf4]); // fstp qword ptr [AREA]; hlt
  const { result, seen } = await runWatched(unknown, { mode: 32 }, { guestAddr: AREA, size: 8, count: 0 });

  assert.is(result.reason, 'error');
  assert.is(result.error?.code, 'ERR_VCPU_INTERNAL');
  assert.match(result.error?.message ?? '', /watched page/);
  assert.equal(seen, []);
});

/** Each vCPU counts to ROUNDS in a word of its own. */
const ROUNDS = 20_000;
const counting = code(
  [0xb9, ...le32(ROUNDS)], //                          mov ecx, ROUNDS
  at('again'),
  [0xff, 0x04, 0xbd, 0x00, 0x20, 0x00, 0x00], //       inc dword ptr [COUNTERS + rdi*4]
  [0xff, 0xc9], //                                     dec ecx
  jump(0x75, 'again'), //                              jnz again
  [0xf4], //                                           hlt
);

test('no store is lost or done twice while watches open and close', async () => {
  let words: number[] = [];
  let reports = 0;
  const result = await runGuest(
    counting,
    {
      mode: 64,
      vcpus: 2,
      onLoaded: vm => {
        const ended = () => vm.state === 'finished' || vm.state === 'disposed';
        const again = () => {
          if (ended()) return;
          const watch = vm.memory.watch({ guestAddr: COUNTERS, size: 8 }, () => {
            reports += 1;
          });
          const close = () => {
            if (ended()) return;
            // The guest may be quick enough to do all its rounds while no watch is open: the first one stays for a report.
            if (reports === 0) {
              setTimeout(close, 1);
              return;
            }
            watch.close();
            setImmediate(again);
          };
          setTimeout(close, 1);
        };
        again();
      },
    },
    vm => {
      words = words32(vm, COUNTERS, 2);
    },
  );

  assert.is(result.reason, 'halt');
  assert.equal(words, [ROUNDS, ROUNDS]);
  assert.ok(reports > 0);
});

test('two vCPUs: each report names its own, and carries on where the last one was', async () => {
  await using vm = await startSpinning({ cpl: 0 });
  const last = new Map<number, number>();
  let wrong = 0;
  vm.memory.watch({ guestAddr: COUNTERS, size: 8 }, ({ guestAddr, data, writer }) => {
    const index = (guestAddr - COUNTERS) / 4;
    const value = new DataView(Uint8Array.from(data ?? []).buffer).getUint32(0, true);
    const before = last.get(index);
    if (writer.kind !== 'vcpu' || writer.index !== index) wrong += 1;
    if (before !== undefined && value <= before) wrong += 1;
    last.set(index, value);
  });
  await until(() => last.size === 2, 'both vCPUs');
  const seen = counters(vm);
  await vm.stop();

  assert.is(wrong, 0);
  assert.ok(seen.every(count => count > 0));
});

test('a VM that was attached by descriptor keeps its slots: its writes are not held up', async () => {
  const { TinyGuest } = await import('../tiny-guest.ts');
  const guest = new TinyGuest();
  using memory = new KvmMemory(16 * PAGE);
  memory.attachVmFd(guest.vmFd);
  memory.watch({ guestAddr: 0x2000, size: 8 }, () => {});

  const how = guest.write(0x2000, 7);
  guest.close();

  assert.is(how, 'ram');
});

test.run();
