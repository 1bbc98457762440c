// A ring of exits in shared memory, for `trace: true`: the vCPU writes, the main thread drains. Every thread; pure.
// Records are 48 bytes: six float64/u64 words. HEAD (an Int32, modulo 2^32) counts records written; the writer never waits, so a
// slow reader loses the oldest and is told how many. One writer (the vCPU), one reader (main).
//
// | word | content                                                                                      |
// |------|----------------------------------------------------------------------------------------------|
// | 0    | float64: milliseconds of performance.now() on the vCPU's thread plus its timeOrigin            |
// | 1    | float64: port or guest physical address                                                        |
// | 2    | u64: the value (the first one of a rep), little-endian                                         |
// | 3    | u32 exit reason, u32 count                                                                     |
// | 4    | u8 size, u8 isWrite                                                                            |

import { exitName } from './exits.ts';
import { KVM_EXIT, KVM_EXIT_IO, KVM_RUN } from './generated/kvm-abi.ts';

const RECORDS = 4096;
const RECORD_SIZE = 48;
const HEADER_SIZE = 64;
const LITTLE_ENDIAN = true;

/** One exit as it was traced. */
export interface ExitRecord {
  readonly vcpu: number;
  /** Milliseconds since the Unix epoch, with fractions. */
  readonly timeMs: number;
  /** `io`, `mmio`, `hlt`, … */
  readonly reason: string;
  /** Port or guest physical address; undefined for exits that have none. */
  readonly addr: number | undefined;
  /** Bytes of one item, and items (a rep has several). */
  readonly size: number;
  readonly count: number;
  readonly write: boolean;
  readonly value: bigint;
}

/** Shared memory for one vCPU's trace. */
export function createTraceBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_SIZE + RECORDS * RECORD_SIZE);
}

/** The writing side. before() takes down the exit as the guest made it, after() the value that a read got. */
export class ExitTrace {
  readonly #head: Int32Array;
  readonly #records: DataView;
  #at = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.#head = new Int32Array(buffer, 0, 1);
    this.#records = new DataView(buffer, HEADER_SIZE);
  }

  before(run: DataView): void {
    const reason = run.getUint32(KVM_RUN.exitReason, LITTLE_ENDIAN);
    const at = ((Atomics.load(this.#head, 0) >>> 0) % RECORDS) * RECORD_SIZE;
    this.#at = at;
    const records = this.#records;
    records.setFloat64(at, performance.timeOrigin + performance.now(), LITTLE_ENDIAN);
    records.setUint32(at + 24, reason, LITTLE_ENDIAN);
    records.setUint32(at + 28, 1, LITTLE_ENDIAN);
    records.setUint16(at + 32, 0, LITTLE_ENDIAN);
    records.setFloat64(at + 8, -1, LITTLE_ENDIAN);
    records.setBigUint64(at + 16, 0n, LITTLE_ENDIAN);
    if (reason === KVM_EXIT.IO) {
      records.setFloat64(at + 8, run.getUint16(KVM_RUN.io.port, LITTLE_ENDIAN), LITTLE_ENDIAN);
      records.setUint32(at + 28, run.getUint32(KVM_RUN.io.count, LITTLE_ENDIAN), LITTLE_ENDIAN);
      records.setUint8(at + 32, run.getUint8(KVM_RUN.io.size));
      records.setUint8(at + 33, run.getUint8(KVM_RUN.io.direction) === KVM_EXIT_IO.OUT ? 1 : 0);
    } else if (reason === KVM_EXIT.MMIO) {
      records.setFloat64(at + 8, Number(run.getBigUint64(KVM_RUN.mmio.physAddr, LITTLE_ENDIAN)), LITTLE_ENDIAN);
      records.setUint8(at + 32, run.getUint32(KVM_RUN.mmio.len, LITTLE_ENDIAN));
      records.setUint8(at + 33, run.getUint8(KVM_RUN.mmio.isWrite));
    } else {
      this.#publish();
    }
  }

  after(run: DataView): void {
    const records = this.#records;
    const size = records.getUint8(this.#at + 32);
    const isPio = records.getUint32(this.#at + 24, LITTLE_ENDIAN) === KVM_EXIT.IO;
    const from = isPio ? run.getUint32(KVM_RUN.io.dataOffset, LITTLE_ENDIAN) : KVM_RUN.mmio.data;
    for (let i = 0; i < Math.min(size, 8); i++) records.setUint8(this.#at + 16 + i, run.getUint8(from + i));
    this.#publish();
  }

  #publish(): void {
    // The add is a full fence: the reader that sees the new head sees the record.
    Atomics.add(this.#head, 0, 1);
  }
}

/** The reading side. */
export class ExitTraceReader {
  readonly #vcpu: number;
  readonly #head: Int32Array;
  readonly #records: DataView;
  #next = 0;
  /** Records that were overwritten before they were read, in total. */
  lost = 0;

  constructor(buffer: SharedArrayBuffer, vcpu: number) {
    this.#vcpu = vcpu;
    this.#head = new Int32Array(buffer, 0, 1);
    this.#records = new DataView(buffer, HEADER_SIZE);
  }

  /** Everything written since the last call. */
  drain(): ExitRecord[] {
    const head = Atomics.load(this.#head, 0) >>> 0;
    let available = (head - this.#next) >>> 0;
    if (available > RECORDS) {
      this.lost += available - RECORDS;
      this.#next = (head - RECORDS) >>> 0;
      available = RECORDS;
    }
    const first = this.#next;
    const records = Array.from({ length: available }, (_, i) => this.#read((first + i) >>> 0));
    this.#next = head;
    // What the writer has meanwhile come round to (and the one that it may be writing) may be torn: drop it.
    const overrun = Math.max(0, (((Atomics.load(this.#head, 0) >>> 0) - first) >>> 0) + 1 - RECORDS);
    const torn = Math.min(overrun, records.length);
    this.lost += torn;
    return records.slice(torn);
  }

  #read(index: number): ExitRecord {
    const view = this.#records;
    const at = (index % RECORDS) * RECORD_SIZE;
    const addr = view.getFloat64(at + 8, LITTLE_ENDIAN);
    return {
      vcpu: this.#vcpu,
      timeMs: view.getFloat64(at, LITTLE_ENDIAN),
      reason: exitName(view.getUint32(at + 24, LITTLE_ENDIAN)),
      addr: addr < 0 ? undefined : addr,
      size: view.getUint8(at + 32),
      count: view.getUint32(at + 28, LITTLE_ENDIAN),
      write: view.getUint8(at + 33) !== 0,
      value: view.getBigUint64(at + 16, LITTLE_ENDIAN),
    };
  }
}
