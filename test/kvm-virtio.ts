// A driver of virtio devices in a real guest: the guest's vCPU makes the register accesses, one at a time, as the test asks for them, and counts the interrupts that it
// takes; the rings are written from here. Real mode, with the devices' registers in DS and in-kernel interrupt controllers.

import { deviceModule, type Image, type KvmMemory, u16le, u32le, u64le, VirtualMachine } from 'node-kvm';
import { VIRTIO_F } from '../shared/virtio/device.ts';
import { MMIO, STATUS } from '../shared/virtio/mmio.ts';
import { at, code, jump } from './guest-code.ts';
import { ADDRESS, COMMAND, INTERRUPTS, RESULT, RESULTS, VALUE } from './kvm/devices/register-agent.ts';

type CreateOptions = Parameters<typeof VirtualMachine.create>[0];

const CODE = 0x1000;
const LIMIT_MS = 20_000;
/** Where the first device's registers are. */
const REGISTERS = 0xd000_0000;
const DEVICE_BYTES = 0x1000;
const PORT = 0x500;

/** The handler of IRQ 5, 6 and 7 lies first, behind a jump. */
const HANDLER = CODE + 2;
const agent = code(
  jump(0xeb, 'start'),
  [0x50], //                        push ax                handler
  [0x52], //                        push dx
  [0xba, 0x10, 0x05], //            mov dx, 0x510
  [0xee], //                        out dx, al             an interrupt
  [0xb0, 0x20], //                  mov al, 0x20
  [0xe6, 0x20], //                  out 0x20, al           its end
  [0x5a], //                        pop dx
  [0x58], //                        pop ax
  [0xcf], //                        iret
  at('start'),
  [0xb0, 0x11], //                  mov al, 0x11
  [0xe6, 0x20], //                  out 0x20, al           ICW1
  [0xb0, 0x20], //                  mov al, 0x20
  [0xe6, 0x21], //                  out 0x21, al           ICW2: vectors from 0x20 on
  [0xb0, 0x04], //                  mov al, 0x04
  [0xe6, 0x21], //                  out 0x21, al           ICW3
  [0xb0, 0x01], //                  mov al, 0x01
  [0xe6, 0x21], //                  out 0x21, al           ICW4
  [0xb0, 0x1f], //                  mov al, 0x1f
  [0xe6, 0x21], //                  out 0x21, al           IRQ 5, 6 and 7
  [0xfb], //                        sti
  at('again'),
  [0xba, 0x00, 0x05], //            mov dx, 0x500
  [0x66, 0xed], //                  in eax, dx             command
  [0x66, 0x85, 0xc0], //            test eax, eax
  jump(0x74, 'again'),
  [0x89, 0xc1], //                  mov cx, ax
  [0xba, 0x04, 0x05], //            mov dx, 0x504
  [0x66, 0xed], //                  in eax, dx             address
  [0x89, 0xc3], //                  mov bx, ax
  [0xba, 0x08, 0x05], //            mov dx, 0x508
  [0x66, 0xed], //                  in eax, dx             value
  [0x83, 0xf9, 0x02], //            cmp cx, 2
  jump(0x74, 'write'),
  [0x66, 0x8b, 0x07], //            mov eax, [bx]
  jump(0xeb, 'done'),
  at('write'),
  [0x66, 0x89, 0x07], //            mov [bx], eax
  at('done'),
  [0xba, 0x0c, 0x05], //            mov dx, 0x50c
  [0x66, 0xef], //                  out dx, eax            result
  jump(0xeb, 'again'),
);

/** A PC without firmware that starts the agent. */
function agentImage(): Image {
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
      memory.write(CODE, agent);
      for (const irq of [5, 6, 7]) memory.writeObj((0x20 + irq) * 4, u32le, HANDLER);
      return [
        {
          regs: { rip: BigInt(CODE), rsp: 0x8000n, rflags: 2n },
          sregs: { cs: { ...flat, type: 11 }, ds: { ...flat, base: BigInt(REGISTERS) }, ss: flat, es: flat },
        },
      ];
    },
  };
}

/** Of one virtqueue: where its parts are. A page each. */
const RING = 0x1_0000;
const RING_BYTES = 0x4000;
export const QUEUE_SIZE = 16;
/** Memory that the test may use for buffers, up to the end of RAM. */
export const BUFFERS = 0x10_0000;

export interface Segment {
  readonly at: number;
  readonly length: number;
}

/** A machine with one vCPU and virtio devices, started; the test's accesses go through its guest. */
export class VirtioMachine implements AsyncDisposable {
  readonly vm: VirtualMachine;
  readonly #words: Int32Array;

  private constructor(vm: VirtualMachine, words: Int32Array) {
    this.vm = vm;
    this.#words = words;
  }

  static async start(options: Partial<CreateOptions>): Promise<VirtioMachine> {
    const state = new SharedArrayBuffer(64);
    const device = deviceModule(new URL('./devices/register-agent.js', import.meta.url), {
      name: 'register agent',
      pio: { base: PORT, length: 0x14 },
      where: 'vcpu',
      state,
    });
    const vm = await VirtualMachine.create({ memory: 8 << 20, vcpus: 1, engine: 'kvm', devices: [device], ...options });
    try {
      await vm.load(agentImage());
      await vm.start();
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
    return new VirtioMachine(vm, new Int32Array(state));
  }

  get memory(): KvmMemory {
    return this.vm.memory;
  }

  /** Interrupts that the guest has taken, of all devices. */
  get interrupts(): number {
    return Atomics.load(this.#words, INTERRUPTS);
  }

  /** Resolves when there were so many interrupts. */
  async interrupted(times: number): Promise<void> {
    await this.#until(INTERRUPTS, times);
  }

  /** The guest reads or writes 32 bits of the registers of device `index`. */
  async access(device: number, register: number, value?: number): Promise<number> {
    const words = this.#words;
    const results = Atomics.load(words, RESULTS);
    Atomics.store(words, ADDRESS, device * DEVICE_BYTES + register);
    Atomics.store(words, VALUE, (value ?? 0) | 0);
    Atomics.store(words, COMMAND, value === undefined ? 1 : 2);
    Atomics.notify(words, COMMAND);
    await this.#until(RESULTS, results + 1);
    return Atomics.load(words, RESULT) >>> 0;
  }

  async #until(index: number, value: number): Promise<void> {
    const words = this.#words;
    for (let now = Atomics.load(words, index); now < value; now = Atomics.load(words, index)) {
      const woken = await Promise.race([Atomics.waitAsync(words, index, now, LIMIT_MS).value, this.vm.finished]);
      if (woken === 'timed-out' || typeof woken === 'object')
        throw new Error(`word ${index} is ${now}, not ${value}: ${JSON.stringify(woken)}`);
    }
  }

  /** Sets a device up with the first `queues` of its queues. `features` of the device's own, low 32 bits. */
  async setUp(device: number, { queues = 1, features = 0 } = {}): Promise<TestDriver[]> {
    const set = (register: number, value: number) => this.access(device, register, value);
    await set(MMIO.STATUS, 0);
    await set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER);
    await set(MMIO.DRIVER_FEATURES_SEL, 0);
    await set(MMIO.DRIVER_FEATURES, features);
    await set(MMIO.DRIVER_FEATURES_SEL, 1);
    await set(MMIO.DRIVER_FEATURES, Number(VIRTIO_F.VERSION_1 >> 32n));
    await set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK);
    const drivers: TestDriver[] = [];
    for (let queue = 0; queue < queues; queue++) {
      const driver = new TestDriver(this, device, queue, RING + drivers.length * RING_BYTES + device * 4 * RING_BYTES);
      await set(MMIO.QUEUE_SEL, queue);
      await set(MMIO.QUEUE_SIZE, QUEUE_SIZE);
      await set(MMIO.QUEUE_DESC_LOW, driver.base);
      await set(MMIO.QUEUE_DRIVER_LOW, driver.base + 0x1000);
      await set(MMIO.QUEUE_DEVICE_LOW, driver.base + 0x2000);
      await set(MMIO.QUEUE_READY, 1);
      drivers.push(driver);
    }
    await set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK | STATUS.DRIVER_OK);
    return drivers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vm[Symbol.asyncDispose]();
  }
}

/** One split queue, without event index and indirect descriptors. */
export class TestDriver {
  readonly base: number;
  readonly #machine: VirtioMachine;
  readonly #device: number;
  readonly #queue: number;
  #descriptor = 0;
  #available = 0;
  #seen = 0;

  constructor(machine: VirtioMachine, device: number, queue: number, base: number) {
    this.#machine = machine;
    this.#device = device;
    this.#queue = queue;
    this.base = base;
    machine.memory.memset(base, 0, RING_BYTES);
  }

  /** Makes a chain available. Descriptors are taken in a circle: those of QUEUE_SIZE chains ago must be back. */
  add(readable: readonly Segment[], writable: readonly Segment[]): void {
    const { memory } = this.#machine;
    const segments = [
      ...readable.map(each => ({ ...each, flags: 0 })),
      ...writable.map(each => ({ ...each, flags: 2 })),
    ];
    const head = this.#descriptor;
    segments.forEach(({ at, length, flags }, index) => {
      const entry = this.base + 16 * this.#descriptor;
      this.#descriptor = (this.#descriptor + 1) % QUEUE_SIZE;
      const last = index === segments.length - 1;
      memory.writeObj(entry, u64le, BigInt(at));
      memory.writeObj(entry + 8, u32le, length);
      memory.writeObj(entry + 12, u16le, flags | (last ? 0 : 1));
      memory.writeObj(entry + 14, u16le, last ? 0 : this.#descriptor);
    });
    memory.writeObj(this.base + 0x1004 + 2 * (this.#available % QUEUE_SIZE), u16le, head);
    this.#available += 1;
    memory.atomics.store(this.base + 0x1002, u16le, this.#available & 0xffff);
  }

  /** The guest writes to the register, whether the device asked for it or not. */
  async notify(): Promise<void> {
    await this.#machine.access(this.#device, MMIO.QUEUE_NOTIFY, this.#queue);
  }

  /** Chains that are back since the last call: how many bytes were stored in each. */
  used(): number[] {
    const { memory } = this.#machine;
    const lengths: number[] = [];
    for (const index = memory.atomics.load(this.base + 0x2002, u16le); this.#seen !== index; ) {
      lengths.push(memory.readObj(this.base + 0x2004 + 8 * (this.#seen % QUEUE_SIZE) + 4, u32le));
      this.#seen = (this.#seen + 1) & 0xffff;
    }
    return lengths;
  }

  /** One chain, notified, and back: the bytes stored. */
  async request(readable: readonly Segment[], writable: readonly Segment[]): Promise<number> {
    this.add(readable, writable);
    await this.notify();
    return (await this.back(1))[0] ?? 0;
  }

  /** Resolves when so many chains are back. */
  async back(count: number): Promise<number[]> {
    const lengths = this.used();
    const end = performance.now() + LIMIT_MS;
    while (lengths.length < count) {
      if (performance.now() > end) throw new Error(`${lengths.length} of ${count} chains are back`);
      await new Promise(resolve => setTimeout(resolve, 1));
      lengths.push(...this.used());
    }
    return lengths;
  }
}
