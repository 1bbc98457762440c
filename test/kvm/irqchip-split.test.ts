// irqchip 'split': a guest programs the IOAPIC that is in this process, and lines that rise there interrupt it.

import { bios, flat, type Image, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { KVM_CAP } from '../../shared/generated/kvm-abi.ts';
import { codeOf } from '../errors.ts';
import { at, code, jump, le32 } from '../guest-code.ts';
import { hasKvm, kvmDevice, kvmSuite, suiteUnless } from '../harness.ts';
import { slowness } from '../slowness.ts';

function missing(): string | undefined {
  const system = native().openSystem(kvmDevice);
  const has = system.checkExtension(KVM_CAP.SPLIT_IRQCHIP) > 0;
  system.close();
  return has ? undefined : 'this KVM lacks KVM_CAP_SPLIT_IRQCHIP';
}

const name = "irqchip 'split'";
const test = hasKvm ? suiteUnless(missing(), name) : kvmSuite(name);
const CODE = 0x1000;
const PIN = 6;
const LEVEL = 0x8000;
const READY = 0;
const TAKEN = 1;
const ENDED = 2;

/** mov dword es:[offset], value: the IOAPIC's registers; fs has the LAPIC's. */
const ioapic = (offset: number, value: number) => [0x26, 0x66, 0xc7, 0x06, offset, 0x00, ...le32(value)];
const lapic = (offset: number, value: number) => [0x64, 0x66, 0xc7, 0x06, offset, 0x00, ...le32(value)];

/** The handler of vector 0x26, which lies first, says TAKEN, ends the interrupt and says ENDED. The entry's lower half is reported with READY. */
const program = (entry: number) =>
  code(
    jump(0xeb, 'start'),
    [0xe6, 0x40 + TAKEN], //                   out 0x41, al          handler (0x1002)
    lapic(0xb0, 0),
    [0xe6, 0x40 + ENDED], //                   out 0x42, al
    [0xcf], //                                 iret
    at('start'),
    lapic(0xf0, 0x1ff),
    ioapic(0x00, 0x11 + 2 * PIN),
    ioapic(0x10, 0),
    ioapic(0x00, 0x10 + 2 * PIN),
    ioapic(0x10, entry),
    [0xc7, 0x06, 0x98, 0x00, 0x02, 0x10], //   mov word [0x98], handler
    [0xc7, 0x06, 0x9a, 0x00, 0x00, 0x00], //   mov word [0x9a], 0
    [0x26, 0x66, 0xa1, 0x10, 0x00], //         mov eax, es:[0x10]
    [0x66, 0xe7, 0x40 + READY], //             out 0x40, eax
    [0xfb], //                                 sti
    at('wait'),
    [0xf4], //                                 hlt
    jump(0xeb, 'wait'),
  );

/** A PC without firmware, in real mode. */
function image(bytes: Uint8Array): Image {
  const flat = {
    base: 0n,
    selector: 0,
    limit: 0xffff,
    type: 3,
    present: 1,
    dpl: 0,
    db: 0,
    s: 1,
    l: 0,
    g: 0,
    avl: 0,
    unusable: 0,
  };
  return {
    engine: 'kvm',
    kind: 'flat',
    platform: 'pc',
    load: async ({ memory }) => {
      memory.write(CODE, bytes);
      return [
        {
          regs: { rip: BigInt(CODE), rsp: 0x8000n, rflags: 2n },
          sregs: {
            cs: { ...flat, type: 11 },
            ds: flat,
            ss: flat,
            es: { ...flat, base: 0xfec0_0000n },
            fs: { ...flat, base: 0xfee0_0000n },
          },
        },
      ];
    },
  };
}

/** Runs until `ends` interrupts have ended; `on` is told of each thing that the guest says. Returns how often it took one. */
async function run(
  entry: number,
  ends: number,
  on: (vm: VirtualMachine, said: number, taken: number, value: number) => void,
): Promise<number> {
  let [taken, ended] = [0, 0];
  const device = {
    name: 'guest says',
    pio: { base: 0x40, length: 4 },
    write(offset: number, _size: number, value: number | bigint) {
      if (offset === TAKEN) taken++;
      on(vm, offset, taken, Number(value));
      if (offset === ENDED && ++ended === ends) void vm.stop();
    },
  };
  const options = {
    memory: 1 << 20,
    vcpus: 1,
    engine: 'kvm',
    irqchip: 'split',
    deadlineMs: 10_000 * slowness,
  } as const;
  await using vm = await VirtualMachine.create({ ...options, devices: [device] });
  await vm.load(image(program(entry)));
  await vm.start();
  assert.is((await vm.finished).reason, 'stopped');
  return taken;
}

test('an edge interrupts once, however long the line stays high', async () => {
  const entries: number[] = [];
  const taken = await run(0x26, 2, (vm, said, taken, value) => {
    if (said === READY) entries.push(value);
    if (said === READY) vm.irqLine(PIN, true);
    if (said === ENDED && taken === 1) {
      vm.irqLine(PIN, false);
      vm.irqLine(PIN, true);
    }
  });
  assert.is(taken, 2);
  assert.equal(entries, [0x26]);
});

test('a level interrupts again after each end, until the line falls', async () => {
  let high = 0;
  const taken = await run(LEVEL | 0x26, 4, (vm, said, taken) => {
    if (said === READY) vm.irqLine(PIN, true);
    if (said === TAKEN && taken === 3) vm.irqLine(PIN, false);
    if (said === ENDED && taken === 3) {
      // Nothing came by itself after the third; this one is new.
      high = taken;
      vm.irqLine(PIN, true);
    }
    if (said === TAKEN && taken === 4) vm.irqLine(PIN, false);
  });
  assert.equal([high, taken], [3, 4]);
});

test('images that it cannot serve, wrong options and wrong lines are refused', async () => {
  const options = { memory: 1 << 20, vcpus: 1, engine: 'kvm', irqchip: 'split' } as const;
  await using vm = await VirtualMachine.create(options);
  assert.is(await codeOf(() => vm.load(flat(Uint8Array.of(0xf4), { at: 0x8000, mode: 64 }))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vm.load(bios(new Uint8Array(0x1_0000)))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vm.irqLine(PIN, true)), 'ERR_STATE');
  await vm.load(image(program(0x26)));
  assert.is(await codeOf(() => vm.irqLine(24, true)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vm.irqLine(PIN, 1 as never)), 'ERR_INVALID_ARG_TYPE');
  vm.irqLine(PIN, true);
  assert.is(await codeOf(() => VirtualMachine.create({ ...options, irqchip: 'none' as never })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => VirtualMachine.create({ ...options, engine: 'host' })), 'ERR_ENGINE');
  const devices = [{ name: 'in the way', mmio: { base: 0xfec0_0000, length: 4 } }];
  assert.is(await codeOf(() => VirtualMachine.create({ ...options, devices })), 'ERR_DEVICE_OVERLAP');
});

test.run();
