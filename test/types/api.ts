// Checked by the compiler alone (`npm test` type-checks everything): the public names and shapes that users and tests outside the
// repository rely on. A change here is a change of the API.

import {
  array,
  bios,
  type Device,
  type DeviceSpec,
  type DirtyCursor,
  type DirtyHarvest,
  type DirtyPageInfo,
  type DirtySourceName,
  deviceModule,
  elf,
  flat,
  type HostCapabilities,
  type HypervisorError,
  type Image,
  KvmMemory,
  type Layout,
  type MemoryHandle,
  type MemoryRegion,
  probe,
  program,
  struct,
  type U64,
  u8,
  u16le,
  u32le,
  u64le,
  type Vcpu,
  type VcpuPool,
  VirtualMachine,
  type VmResult,
  type Writer,
} from 'node-kvm';

/** Fails to compile unless both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

export function memoryApi(memory: KvmMemory, worker: MemoryHandle): void {
  same<ReturnType<typeof memory.hostAddress>, bigint>(true);
  same<ReturnType<typeof memory.addRegion>, bigint>(true);
  same<ReturnType<typeof memory.getHostAddress>, bigint>(true);
  same<ReturnType<typeof memory.size>, number>(true);
  same<ReturnType<typeof memory.addressLimit>, number>(true);
  same<ReturnType<typeof memory.getDirtyPages>, DirtyPageInfo[]>(true);
  same<ReturnType<typeof memory.harvest>, DirtyHarvest>(true);
  same<ReturnType<typeof memory.dirtyCursor>, DirtyCursor>(true);
  same<ReturnType<DirtyCursor['harvest']>, DirtyHarvest>(true);
  same<ReturnType<typeof memory.changes>, AsyncGenerator<DirtyHarvest, void, void>>(true);
  same<ReturnType<DirtyHarvest['rangeArray']>, Float64Array>(true);
  same<ReturnType<DirtyHarvest['writerAt']>, Writer>(true);
  same<typeof memory.dirtySource, DirtySourceName | undefined>(true);
  same<typeof memory.handle, MemoryHandle>(true);
  const address: U64 = 0x1000n;
  memory.addExternalRegion(address, 0n, 4096, true);
  memory.removeRegion(address);
  memory.attachVmFd(3);
  memory.registerSlot(0, 0, 4096, 0n, 0);
  memory.unregisterSlot(0);
  memory.setDirtyTrackingEnabled(true);
  memory.enableDirtyTracking();
  memory.disableDirtyTracking();
  memory.memset(address, 0, 1n);
  memory.read(address, new Uint8Array(1));
  memory.write(address, new Uint8Array(1));
  memory.dumpAll(new Uint8Array(1));
  const bytes: Uint8Array = memory.view(address, 1);
  const regions: readonly MemoryRegion[] = memory.regions();
  const buffers: SharedArrayBuffer[] = regions.map(region => region.buffer);
  memory.harvest().bitmap(regions[0] as MemoryRegion);
  const attached: KvmMemory = KvmMemory.attach(worker);
  attached[Symbol.dispose]();
  void [bytes, buffers];
}

export function layoutApi(memory: KvmMemory): void {
  const Header = struct({ kind: u8, length: u16le, tags: array(u32le, 2), address: u64le });
  const header = memory.readObj(0, Header);
  same<typeof header.kind, number>(true);
  same<typeof header.address, bigint>(true);
  same<typeof header.tags, number[]>(true);
  memory.writeObj(0, Header, { kind: 1, length: 2, tags: [3, 4], address: 5n });
  // @ts-expect-error a field is missing
  memory.writeObj(0, Header, { kind: 1, length: 2, tags: [3, 4] });
  const scalar: Layout<number> = u8;
  memory.writeObj(0, scalar, 1);
}

export async function machineApi(signal: AbortSignal, pool: VcpuPool): Promise<void> {
  const device: Device = {
    name: 'd',
    pio: { base: 1, length: 1 },
    read: (offset: number, size: number) => offset + size,
    write: (_offset: number, _size: number, _value: number | bigint) => {},
  };
  const spec: DeviceSpec = deviceModule(new URL('file:///d.js'), {
    name: 'm',
    mmio: { base: 0n, length: 8 },
    where: 'io',
  });
  const vm = await VirtualMachine.create({
    memory: 1n << 20n,
    vcpus: 1,
    engine: 'auto',
    dirtyTracking: { source: 'auto' },
    devices: [device, spec],
    pool,
    signal,
  });
  const images: Image[] = [
    flat(new Uint8Array(1), { at: 0n, entry: 0, mode: 64, cpl: 3 }),
    elf('file', { cpl: 0 }),
    bios(new Uint8Array(65536)),
    program(new URL('file:///p.js'), { any: 'data' }),
  ];
  await vm.load(images[0] as Image);
  await vm.start();
  await vm.pause();
  await vm.resume();
  await vm.stop();
  same<typeof vm.memory, KvmMemory>(true);
  same<typeof vm.vcpus, readonly Vcpu[]>(true);
  same<typeof vm.engine, 'kvm' | 'host'>(true);
  const result: VmResult = await vm.finished;
  const error: HypervisorError | undefined = result.error;
  const capabilities: HostCapabilities = probe();
  await vm[Symbol.asyncDispose]();
  void [error, capabilities];
}
