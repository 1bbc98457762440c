// Where the soak's memory lies, which pages its writers may write to, and how a written word says who wrote it. Pure; every thread.

export const PAGE = 4096;

/** Base RAM: code, parameters and the guest's list of pages at its beginning, page tables and stacks at its end. No multiple of 64 pages. */
export const BASE_PAGES = 419;
/** Pages at the end of base RAM that the loader takes for tables and stacks of the vCPUs. */
const BOOT_PAGES = 48;

export interface Place {
  /** Page number in guest memory. */
  readonly first: number;
  readonly pages: number;
}

/** Neither begins nor ends at a multiple of 64 pages; a part of it is made read-only and writable again during the run. */
export const ODD: Place = { first: 0x201, pages: 67 };
export const PROTECTED: Place = { first: ODD.first + 20, pages: 11 };
export const SINGLE: Place = { first: 0x260, pages: 1 };
/** Removed and added again during the run. */
export const CHURN: Place = { first: 0x280, pages: 33 };
/** The same host memory as ODD's pages [3, 8). */
export const ALIAS: Place = { first: 0x2c0, pages: 5 };
export const ALIAS_OFFSET = 3 * PAGE;
/** One more than the last page. */
export const END_PAGE = ALIAS.first + ALIAS.pages;

/** The guest's code, the parameters of its vCPUs, and the addresses that it picks from. */
export const GUEST_CODE = 0x8000;
export const GUEST_PARAMS = 0x9000;
export const GUEST_LIST = 0xa000;
/** Entries of the guest's list: a power of two. */
export const GUEST_LIST_LENGTH = 1024;
const FIRST_PAGE = 16;

/** Addresses of the pages that writers write to. A write may run over a page's end into the next page, which is one of them or in a hole. */
export const targets: readonly number[] = [
  { first: FIRST_PAGE, pages: BASE_PAGES - BOOT_PAGES - FIRST_PAGE - 1 },
  ODD,
  SINGLE,
  CHURN,
  ALIAS,
].flatMap(({ first, pages }) => Array.from({ length: pages }, (_, index) => (first + index) * PAGE));

/** The kinds of writers, as the rows of ARCHITECTURE.md's table begin. */
export const WRITER_KINDS = ['guest', 'api', 'raw', 'fs'] as const;
export type WriterKind = (typeof WRITER_KINDS)[number];

/** The top byte of each word that a writer writes. */
export const TAG = { guest: 0xa0, apiMain: 0xb0, api: 0xb1, raw: 0xc0, fs: 0xd0 } as const;

/** A word that says who wrote it, and differs from the writer's words before. */
export const tagged = (tag: number, count: number) => ((tag << 24) | (count & 0xff_ffff)) >>> 0;

/** Who wrote the word, as a diagnosis says it. */
export function writerOf(word: number): string {
  const tag = word >>> 24;
  if (tag === TAG.apiMain) return 'the API on the main thread';
  if (tag === TAG.api) return 'the API on a worker';
  if (tag === TAG.raw) return 'a raw store';
  if (tag === TAG.fs) return 'fs.read';
  if (tag >= TAG.guest && tag < TAG.apiMain) return `vCPU ${tag - TAG.guest}`;
  return 'nobody (it was never written)';
}
