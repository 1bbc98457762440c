// A program for the host engine that drives a virtio entropy device: sets up its queue, asks for 64 bytes at `data`, and polls until they are there.

import { u16le, u32le, u64le } from '../../../shared/layout.ts';
import type { ProgramContext } from '../../../shared/program.ts';
import { MMIO, STATUS } from '../../../shared/virtio/mmio.ts';

const REGISTERS = 0xd000_0000;
const RING = 0x1000;
const READY = STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK;

export function run(context: ProgramContext<number>): void {
  const { memory, data } = context;
  const set = (register: number, value: number) => context.mmioWrite(REGISTERS + register, 4, value);
  set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER);
  set(MMIO.DRIVER_FEATURES_SEL, 1);
  set(MMIO.DRIVER_FEATURES, 1);
  set(MMIO.STATUS, READY);
  set(MMIO.QUEUE_SEL, 0);
  set(MMIO.QUEUE_SIZE, 4);
  set(MMIO.QUEUE_DESC_LOW, RING);
  set(MMIO.QUEUE_DRIVER_LOW, RING + 0x1000);
  set(MMIO.QUEUE_DEVICE_LOW, RING + 0x2000);
  set(MMIO.QUEUE_READY, 1);
  set(MMIO.STATUS, READY | STATUS.DRIVER_OK);
  memory.writeObj(RING, u64le, BigInt(data));
  memory.writeObj(RING + 8, u32le, 64);
  memory.writeObj(RING + 12, u16le, 2);
  memory.atomics.store(RING + 0x1002, u16le, 1);
  set(MMIO.QUEUE_NOTIFY, 0);
  while (memory.atomics.load(RING + 0x2002, u16le) === 0) context.checkpoint();
  if (context.mmioRead(REGISTERS + MMIO.INTERRUPT_STATUS, 4) === 1) context.halt();
}
