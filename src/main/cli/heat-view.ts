// How `node-kvm heat` shows what happens while it happens: a picture on a terminal, lines elsewhere, nothing with --json. Main
// thread. Standard output is the picture's; the guest's console appears in it as whole, harmless lines.

import type { WriteStream } from 'node:tty';
import type { VirtualMachine } from '../vm/virtual-machine.ts';
import type { ColourDepth } from './heat-colours.ts';
import type { ConsoleTail } from './heat-console.ts';
import { HeatPicture } from './heat-picture.ts';
import type { HeatRecord } from './heat-record.ts';
import { headerLines, StripLines, type Watched } from './heat-text.ts';
import { Screen } from './screen.ts';

/** Frames are no closer than this; what is not drawn still counts. */
const FRAME_MS = 60;
const CONSOLE_LINES = 4;
/** What stays on the terminal afterwards. */
const LAST_CONSOLE_LINES = 10;
const LAST_PICTURE_LINES = 24;
const STRIP_WIDTH = 64;

export interface HeatView {
  begin(record: HeatRecord): void;
  /** An interval that the record has already. */
  update(ranges: Float64Array, elapsedMs: number): void;
  /** After the last interval. Idempotent; nothing is on the screen afterwards that was not there before, but what it left. */
  end(): void;
}

/** For --json. */
export const NO_VIEW: HeatView = { begin: () => {}, update: () => {}, end: () => {} };

/** A terminal that can move its cursor gets the picture. */
export function chooseView(vm: VirtualMachine, watched: Watched, output: ConsoleTail): HeatView {
  const { stdout } = process;
  return stdout.isTTY === true && process.env['TERM'] !== 'dumb'
    ? new PictureView(vm, watched, output, stdout)
    : new LineView(output);
}

class LineView implements HeatView {
  readonly #output: ConsoleTail;
  #lines: StripLines | undefined;

  constructor(output: ConsoleTail) {
    this.#output = output;
  }

  begin(record: HeatRecord): void {
    this.#lines = new StripLines(record, STRIP_WIDTH);
    process.stdout.write(`${this.#lines.heading()}\n`);
  }

  update(ranges: Float64Array): void {
    const console = this.#output.takeFresh().map(line => `guest: ${line}\n`);
    process.stdout.write(`${console.join('')}${this.#lines?.line(ranges)}\n`);
  }

  end(): void {
    this.#output.end();
    for (const line of this.#output.takeFresh()) process.stdout.write(`guest: ${line}\n`);
  }
}

class PictureView implements HeatView {
  readonly #vm: VirtualMachine;
  readonly #watched: Watched;
  readonly #output: ConsoleTail;
  readonly #screen: Screen;
  readonly #depth: ColourDepth;
  #record: HeatRecord | undefined;
  #picture: HeatPicture | undefined;
  #size = '';
  #drawnAt = Number.NEGATIVE_INFINITY;
  #exits = { total: 0, perSecond: 0, at: 0 };

  constructor(vm: VirtualMachine, watched: Watched, output: ConsoleTail, stream: WriteStream) {
    this.#vm = vm;
    this.#watched = watched;
    this.#output = output;
    this.#screen = new Screen(stream);
    // Knows NO_COLOR, COLORTERM and TERM. 16 colours are too few for a scale.
    const bits = stream.getColorDepth();
    this.#depth = bits >= 24 ? 'true' : bits >= 8 ? '256' : 'none';
  }

  begin(record: HeatRecord): void {
    this.#record = record;
    this.#screen.enter();
  }

  update(ranges: Float64Array, elapsedMs: number): void {
    const record = this.#record;
    if (record === undefined) return;
    const { columns, rows } = this.#screen;
    const consoleLines = rows < 16 ? 0 : CONSOLE_LINES;
    const size = `${columns} ${rows}`;
    if (this.#picture === undefined || size !== this.#size) {
      const room = rows - HEADER_LINES - LEGEND_LINES - (consoleLines === 0 ? 0 : consoleLines + 1);
      this.#picture = new HeatPicture(record.stretches, { columns, lines: Math.max(1, room) }, this.#depth);
      this.#size = size;
    }
    this.#picture.add(ranges, elapsedMs);
    const now = performance.now();
    if (now - this.#drawnAt < FRAME_MS) return;
    this.#drawnAt = now;
    const tail = consoleLines === 0 ? [] : [rule('guest console', columns), ...this.#output.last(consoleLines)];
    this.#screen.draw([
      ...headerLines(this.#watched, record, this.#countExits(record.endMs), columns),
      rule('memory', columns),
      ...this.#picture.lines(),
      this.#picture.legend(true),
      ...tail.map(line => line.slice(0, columns)),
    ]);
  }

  /** Leaves the picture of the whole run, and the console's last lines. */
  end(): void {
    const record = this.#record;
    if (record === undefined) return;
    this.#record = undefined;
    this.#screen.leave();
    this.#output.end();
    const { columns, rows } = this.#screen;
    const lines = Math.max(1, Math.min(LAST_PICTURE_LINES, rows - 8));
    const picture = new HeatPicture(record.stretches, { columns, lines }, this.#depth);
    picture.set(cell => record.history.everIn(cell));
    const console = this.#output.last(LAST_CONSOLE_LINES);
    const text = [
      rule('pages written during the whole run', columns),
      ...picture.lines(),
      picture.legend(false),
      ...(console.length === 0 ? [] : [rule('guest console', columns), ...console.map(line => line.slice(0, columns))]),
    ];
    process.stdout.write(`${text.join('\n')}\n`);
  }

  /** Over about a second: exits of a tenth of one would only flicker. */
  #countExits(nowMs: number): { readonly total: number; readonly perSecond: number } {
    const { exits } = this.#vm.stats().total;
    const { total, at, perSecond } = this.#exits;
    if (nowMs - at >= 500)
      this.#exits = { total: exits, at: nowMs, perSecond: ((exits - total) / (nowMs - at)) * 1000 };
    return { total: exits, perSecond };
  }
}

const HEADER_LINES = 5;
const LEGEND_LINES = 1;

/** `── title ─────` */
function rule(title: string, columns: number): string {
  return `── ${title} `.padEnd(columns, '─').slice(0, columns);
}
