// The naive model of a memory: one record per guest page, one cell per host page, sets of dirty cells. Pure; for tests.

const PAGE = 4096;

/** 'ok', or the code of the error. */
export type Code = string;

/** A host page. Guest pages that are the same host page share it. */
interface Cell {
  readonly bytes: Uint8Array;
  /** Which mapping, and where in it: what makes neighbours. */
  readonly mapping: number;
  readonly index: number;
}

export interface Page {
  readonly cell: Cell;
  readOnly: boolean;
  slotted: boolean;
  slotReadOnly: boolean;
}

export class MemoryModel {
  readonly pages = new Map<number, Page>();
  attached = false;
  #mappings = 0;
  #tracking = false;
  /** Written through the API since somebody last looked, tracking or not; and by the guest while tracking. */
  readonly #recorded = new Set<Cell>();
  readonly #pending = new Set<Cell>();
  #taken: { readonly cells: Set<Cell>; readonly shown: ReadonlyMap<number, Cell> } | undefined;

  constructor(basePages: number) {
    this.add(0, basePages, false);
  }

  get open(): boolean {
    return this.#taken !== undefined;
  }

  overlaps(first: number, count: number): boolean {
    return this.#range(first, count).some(page => this.pages.has(page));
  }

  mapped(first: number, count: number): boolean {
    return this.#range(first, count).every(page => this.pages.has(page));
  }

  add(first: number, count: number, readOnly: boolean): void {
    const mapping = this.#mappings++;
    const cells = this.#range(0, count).map(index => ({ bytes: new Uint8Array(PAGE), mapping, index }));
    this.alias(first, cells, readOnly);
  }

  /** The cells behind guest pages that are neighbours in one mapping. */
  contiguousCells(first: number, count: number): Cell[] | undefined {
    const cells = this.#range(first, count).map(page => this.pages.get(page)?.cell);
    const start = cells[0];
    if (start === undefined) return undefined;
    return cells.every((cell, index) => cell?.mapping === start.mapping && cell.index === start.index + index)
      ? cells.flatMap(cell => (cell === undefined ? [] : [cell]))
      : undefined;
  }

  alias(first: number, cells: readonly Cell[], readOnly: boolean): void {
    cells.forEach((cell, index) => {
      this.pages.set(first + index, { cell, readOnly, slotted: this.attached, slotReadOnly: false });
    });
  }

  remove(first: number, count: number): void {
    for (const page of this.#range(first, count)) this.pages.delete(page);
  }

  protect(first: number, count: number, readOnly: boolean): void {
    for (const page of this.#range(first, count)) this.#page(page).readOnly = readOnly;
  }

  slots(first: number, count: number, state: { slotted: boolean; slotReadOnly: boolean }): void {
    for (const page of this.#range(first, count)) Object.assign(this.#page(page), state);
  }

  access(at: number, length: number, write: boolean): Code {
    const touched = this.#touched(at, length).map(page => this.pages.get(page));
    if (touched.some(page => page === undefined)) return 'ERR_MEMORY_UNMAPPED';
    return write && touched.some(page => page?.readOnly) ? 'ERR_MEMORY_READ_ONLY' : 'ok';
  }

  write(at: number, bytes: Uint8Array): void {
    bytes.forEach((byte, index) => {
      this.#page(Math.floor((at + index) / PAGE)).cell.bytes[(at + index) % PAGE] = byte;
    });
    for (const page of this.#touched(at, bytes.length)) this.#recorded.add(this.#page(page).cell);
  }

  guestWrite(page: number, offset: number, byte: number): void {
    const { cell } = this.#page(page);
    cell.bytes[offset] = byte;
    if (this.#tracking) this.#recorded.add(cell);
  }

  read(at: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_none, index) => {
      return this.#page(Math.floor((at + index) / PAGE)).cell.bytes[(at + index) % PAGE] ?? 0;
    });
  }

  dump(size: number): Uint8Array {
    const into = new Uint8Array(size);
    for (const [page, { cell }] of this.pages) into.set(cell.bytes, page * PAGE);
    return into;
  }

  toggle(on: boolean): void {
    if (on === this.#tracking) return;
    this.#tracking = on;
    // What is recorded when it goes off is kept; what is written while it is off is forgotten when it goes on.
    if (on) this.#forgetMapped();
    else this.#collect();
  }

  harvestOutcome(): Code {
    if (!this.#tracking) return 'ERR_DIRTY_TRACKING_OFF';
    return this.open ? 'ERR_HARVEST_OPEN' : 'ok';
  }

  begin(): void {
    this.#collect();
    const shown = new Map([...this.pages].map(([page, { cell }]) => [page, cell]));
    const mappings = new Set([...shown.values()].map(cell => cell.mapping));
    const cells = new Set([...this.#pending].filter(cell => mappings.has(cell.mapping)));
    for (const cell of cells) this.#pending.delete(cell);
    this.#taken = { cells, shown };
  }

  /** The guest pages that the open harvest shows. */
  reported(): number[] {
    const taken = this.#taken;
    if (taken === undefined) return [];
    return [...taken.shown]
      .filter(([, cell]) => taken.cells.has(cell))
      .map(([page]) => page)
      .sort((a, b) => a - b);
  }

  end(commit: boolean): void {
    const taken = this.#taken;
    if (taken === undefined) return;
    this.#taken = undefined;
    const shown = new Set(taken.shown.values());
    for (const cell of taken.cells) if (!commit || !shown.has(cell)) this.#pending.add(cell);
  }

  /** Marks belong to mappings, and only those that are mapped somewhere are looked at. */
  #mappedMappings(): Set<number> {
    return new Set([...this.pages.values()].map(({ cell }) => cell.mapping));
  }

  #collect(): void {
    const mapped = this.#mappedMappings();
    for (const cell of this.#recorded) {
      if (!mapped.has(cell.mapping)) continue;
      this.#recorded.delete(cell);
      this.#pending.add(cell);
    }
  }

  #forgetMapped(): void {
    const mapped = this.#mappedMappings();
    for (const cell of this.#recorded) if (mapped.has(cell.mapping)) this.#recorded.delete(cell);
  }

  #page(page: number): Page {
    const found = this.pages.get(page);
    if (found === undefined) throw new Error(`the model has no page ${page}`);
    return found;
  }

  #touched(at: number, length: number): number[] {
    if (length === 0) return [];
    const first = Math.floor(at / PAGE);
    return this.#range(first, Math.floor((at + length - 1) / PAGE) - first + 1);
  }

  #range(first: number, count: number): number[] {
    return Array.from({ length: count }, (_none, index) => first + index);
  }
}
