// Kinds of writers that a source is documented not to see: each writes once, and no harvest names the page. Main thread; nobody
// else writes meanwhile.

import { closeSync, openSync, readSync } from 'node:fs';
import type { KvmMemory } from 'node-kvm';
import { PAGE, SINGLE, type WriterKind } from './layout.ts';
import type { SoakSource } from './run.ts';

/** A page of the library's own, or one that the caller's run has left at rest. */
const PLACE = SINGLE.first * PAGE;

/** One line for each kind that was seen although the document says that it is not. */
export function proveBlindness(memory: KvmMemory, source: SoakSource, kinds: readonly WriterKind[]): string[] {
  memory.getDirtyPages();
  return kinds.flatMap(kind => {
    if (!writeUnseen(memory, kind)) return [];
    return memory.getDirtyPages().some(({ guestAddr, size }) => guestAddr <= PLACE && PLACE < guestAddr + size)
      ? [`${source} is documented not to see the writer '${kind}', and does see it`]
      : [];
  });
}

/** False for a guest: the source that is blind to it has no KVM, and so there is none to write. */
function writeUnseen(memory: KvmMemory, kind: WriterKind): boolean {
  const page = memory.view(PLACE, PAGE);
  if (kind === 'raw') page[100] = (page[100] as number) ^ 0xff;
  if (kind === 'fs') {
    const file = openSync(process.execPath, 'r');
    try {
      readSync(file, page, 0, PAGE, 0);
    } finally {
      closeSync(file);
    }
  }
  return kind !== 'guest';
}
