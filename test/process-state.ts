// What the process holds: descriptors, mappings, threads; read from /proc. For tests that nothing leaks. Any thread.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Leftovers {
  readonly fds: number;
  readonly mappings: number;
  readonly threads: number;
}

export const threadCount = (): number => readdirSync('/proc/self/task').length;
export const fdCount = (): number => readdirSync('/proc/self/fd').length;
const maps = (): string[] => readFileSync('/proc/self/maps', 'utf8').trimEnd().split('\n');

/** What there is now; with `before`, how much more than then. */
export function leftovers(before: Leftovers = { fds: 0, mappings: 0, threads: 0 }): Leftovers {
  return {
    fds: fdCount() - before.fds,
    mappings: maps().length - before.mappings,
    threads: threadCount() - before.threads,
  };
}

/** Is anything mapped at this address of the process? */
export function isMapped(addr: bigint): boolean {
  return maps().some(line => {
    const [start, end] = (line.split(' ', 1)[0] ?? '').split('-').map(part => BigInt(`0x${part}`));
    return start !== undefined && end !== undefined && start <= addr && addr < end;
  });
}

/** Lets the collector run until finalizers and weak references have had their turn. Needs --expose-gc. */
export async function collect(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.();
    await sleep(5);
  }
}
