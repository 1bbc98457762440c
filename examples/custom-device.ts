// A virtio device of one's own, and a driver for it: custom-device/seeded-rng.ts is the device; the guest is sixteen instructions that set it up through
// its registers, put a request into its queue, wait and halt. With a kernel and an initrd it is a Linux guest instead, and the device its /dev/hwrng.
// Usage: node build/examples/custom-device.js [seed [kernel initrd]]

import { array, flat, u8, u16le, u32le, u64le, VirtualMachine, virtioDevice } from 'node-kvm';

const [seed = 'seed', kernel, initrd] = process.argv.slice(2);
const virtio = [
  virtioDevice(new URL('./custom-device/seeded-rng.js', import.meta.url), { name: 'seeded rng', data: seed }),
];

if (kernel !== undefined && initrd !== undefined) {
  const machine = { memory: 256 << 20, vcpus: 1, virtio, kernel, initrd } as const;
  await using vm = await VirtualMachine.create({ ...machine, cmdline: 'console=ttyS0 panic=-1 quiet' });
  vm.console.once('open', () => process.stdin.pipe(vm.console));
  vm.console.pipe(process.stdout);
  await vm.start();
  process.exitCode = (await vm.finished).reason === 'power-off' ? 0 : 1;
  process.stdin.unpipe().destroy();
} else await tinyGuest();

async function tinyGuest(): Promise<void> {
  /** Where the first virtio device of a VM has its registers (VIRTIO 1.2, 4.2.2); and what is in the guest's memory. */
  const DEVICE = 0xd000_0000;
  const [DESCRIPTORS, AVAILABLE, USED, BUFFER] = [0x4000, 0x5000, 0x6000, 0x7000];
  const LENGTH = 32;

  const word = (value: number) => [0, 8, 16, 24].map(shift => (value >>> shift) & 0xff);
  /** mov dword [address], value */
  const store = (address: number, value: number) => [0xc7, 0x05, ...word(address), ...word(value)];
  const set = (register: number, value: number) => store(DEVICE + register, value);
  const code = Uint8Array.from([
    ...set(0x70, 1 | 2), // status: acknowledge, driver
    ...set(0x24, 1), // of the features the upper half:
    ...set(0x20, 1), // VERSION_1
    ...set(0x70, 1 | 2 | 8), // features ok
    ...set(0x30, 0), // queue 0:
    ...set(0x38, 8), // 8 descriptors
    ...set(0x80, DESCRIPTORS),
    ...set(0x90, AVAILABLE),
    ...set(0xa0, USED),
    ...set(0x44, 1), // ready
    ...set(0x70, 1 | 2 | 4 | 8), // driver ok
    ...set(0x50, 0), // notify queue 0
    ...[0xf3, 0x90], // again: pause
    ...[0x66, 0x83, 0x3d, ...word(USED + 2), 0], // cmp word [used.idx], 0
    ...[0x74, 0xf4], // je again
    0xf4, // hlt
  ]);

  await using vm = await VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm', virtio });
  const { memory } = vm;
  memory.writeObj(DESCRIPTORS, u64le, BigInt(BUFFER)); // one buffer,
  memory.writeObj(DESCRIPTORS + 8, u32le, LENGTH);
  memory.writeObj(DESCRIPTORS + 12, u16le, 2); // for the device to write to,
  memory.writeObj(AVAILABLE + 2, u16le, 1); // is available
  await vm.load(flat(code, { at: 0x1000, mode: 32 }));
  await vm.start();
  const { reason, error } = await vm.finished;
  const random = memory.readObj(BUFFER, array(u8, LENGTH));
  console.log(
    error?.message ?? `${reason}: ${memory.readObj(USED + 8, u32le)} bytes, ${Buffer.from(random).toString('hex')}`,
  );
  process.exitCode = reason === 'halt' ? 0 : 1;
}
