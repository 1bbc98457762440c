// The guest's work once more, as a program for engine 'host': for machines without KVM. Runs on a vCPU worker; makes the
// same exits as guest.c does, and writes the same pages.

import { type ProgramContext, u32le } from 'node-kvm';
import {
  ANSWER_ADDRESS,
  ARRIVED_ADDRESS,
  COMMAND,
  DOORBELL_ADDRESS,
  dirtySequence,
  PARAMS_ADDRESS,
  Params,
  PORT,
  POWER_OFF,
  Report,
  reportAddress,
} from './guest.ts';

const RUNNING_ADDRESS = PARAMS_ADDRESS + 12;
/** The reserved word of Params. */
const CONSOLE_LOCK_ADDRESS = PARAMS_ADDRESS + 60;
const PAGE_SIZE = 4096;
/** How many atomic additions may pass before a request to stop is honoured. */
const STEP = 4096;

export function run(context: ProgramContext): void {
  const { memory, vcpu } = context;
  const params = memory.readObj(PARAMS_ADDRESS, Params);
  const wanted = (bit: number) => (params.command & bit) !== 0;
  let report = { done: params.command, ring: 3, counted: 0, dirtied: 0, exitCycles: 0n, ringCycles: 0n };

  memory.atomics.add(ARRIVED_ADDRESS, u32le, 1);
  while (memory.atomics.load(ARRIVED_ADDRESS, u32le) < params.participants) context.checkpoint();

  if (wanted(COMMAND.print)) {
    // A line is many exits: without a lock those of the other vCPUs come in between.
    while (memory.atomics.exchange(CONSOLE_LOCK_ADDRESS, u32le, 1) !== 0) context.checkpoint();
    for (const byte of new TextEncoder().encode(`vCPU ${vcpu} runs as a program\n`)) context.out(PORT.console, 1, byte);
    memory.atomics.store(CONSOLE_LOCK_ADDRESS, u32le, 0);
  }
  if (wanted(COMMAND.count)) report = { ...report, counted: count(context, Number(params.counter), params.iterations) };
  if (wanted(COMMAND.dirty)) {
    const pages = dirtySequence(params, vcpu);
    for (const page of pages) memory.writeObj(Number(params.area) + page * PAGE_SIZE, u32le, page);
    report = { ...report, dirtied: pages.length };
  }
  if (wanted(COMMAND.doorbell) && vcpu === 0) ringDoorbell(context, params.rings);
  if (wanted(COMMAND.exits)) {
    context.out(PORT.exit, 4, 1);
    for (let i = 0; i < params.exits; i++) context.out(PORT.exit, 4, 0);
    context.out(PORT.exit, 4, 2);
  }
  memory.writeObj(reportAddress(vcpu), Report, report);
  if (memory.atomics.sub(RUNNING_ADDRESS, u32le, 1) === 1) context.out(PORT.power, 2, POWER_OFF);
  for (;;) context.checkpoint(); // until the last one has powered off, as the guest in ring 3 does
}

function count(context: ProgramContext, address: number, iterations: number): number {
  for (let i = 0; i < iterations; i++) {
    context.memory.atomics.add(address, u32le, 1);
    if (i % STEP === 0) context.checkpoint();
  }
  return iterations;
}

function ringDoorbell(context: ProgramContext, rings: number): void {
  for (let ring = 1; ring <= rings; ring++) {
    context.mmioWrite(DOORBELL_ADDRESS, 4, ring);
    while (context.memory.atomics.load(ANSWER_ADDRESS, u32le) !== ring) context.checkpoint();
  }
}
