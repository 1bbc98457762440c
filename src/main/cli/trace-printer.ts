// `node-kvm run --trace`: every exit as a line on standard error, or kept for JSON. Main thread.
// The ring that vCPUs write into never makes them wait: when they are faster than we print, exits are lost, and counted.

import type { ExitRecord } from '../../../shared/exit-trace.ts';
import { hex } from '../../../shared/units.ts';
import type { VirtualMachine } from '../vm/virtual-machine.ts';

const PERIOD_MS = 10;
/** How many exits JSON holds; the rest is counted. */
const KEPT_MAX = 10_000;

/** What `--trace --json` has. */
export interface Trace {
  readonly exits: readonly ExitRecord[];
  /** Exits that are not in `exits`: overwritten in the ring, or beyond what is kept. */
  readonly lost: number;
}

export class TracePrinter {
  readonly #vm: VirtualMachine;
  readonly #timer: NodeJS.Timeout;
  readonly #keep: boolean;
  readonly #kept: ExitRecord[] = [];
  #dropped = 0;
  #lost = 0;

  /** `keep`: for JSON; otherwise lines. */
  constructor(vm: VirtualMachine, keep: boolean) {
    this.#vm = vm;
    this.#keep = keep;
    this.#timer = setInterval(() => this.#drain(), PERIOD_MS);
  }

  /** Takes what is left. */
  end(): Trace {
    clearInterval(this.#timer);
    this.#drain();
    if (!this.#keep && this.#lost > 0)
      process.stderr.write(`trace: ${this.#lost} exits came too fast and are not shown\n`);
    return { exits: this.#kept, lost: this.#lost + this.#dropped };
  }

  #drain(): void {
    const { records, lost } = this.#vm.drainTrace();
    this.#lost = lost;
    if (!this.#keep) {
      process.stderr.write(records.map(line).join(''));
      return;
    }
    const room = KEPT_MAX - this.#kept.length;
    this.#kept.push(...records.slice(0, room));
    this.#dropped += Math.max(0, records.length - room);
  }
}

/** `12:34:56.789012 vCPU 1 io out 0xe9 1 byte × 12 = 0x41` */
function line(record: ExitRecord): string {
  const time = new Date(record.timeMs).toISOString().slice(11, 23);
  const where =
    record.addr === undefined ? '' : ` ${record.write ? 'write' : 'read'} ${hex(record.addr)} size ${record.size}`;
  const items = record.count > 1 ? ` × ${record.count}` : '';
  const value = record.addr === undefined ? '' : ` = ${hex(record.value)}`;
  return `${time} vCPU ${record.vcpu} ${record.reason}${where}${items}${value}\n`;
}
