// The kernel's dirty_log_perf_test, by its options and in its words, for the library and for C++ in turn, so that the three outputs can be
// read together. Main thread.

import { parseArgs } from 'node:util';
import { Baseline } from '../core/baseline.ts';
import { GIB, MIB } from './plan.ts';
import { Ours, PAGE, type SideOptions, Theirs } from './sides.ts';
import { ALWAYS, contiguous, DATA_ADDRESS } from './writer-guest.ts';

export const PERF_TEST_USAGE = `usage: npm run bench:dirty -- --perf-test [options of the kernel's dirty_log_perf_test]
  -v <vcpus>       number of vCPUs (1)
  -b <size>        memory that each vCPU dirties, as 256M or 1G (1G)
  -w <percent>     pages that are written, the others are read; each by chance (100)
  -f <n>           the same as 1/n of the pages, as older kernels have it
  -o               the vCPUs' accesses overlap: each uses the memory of all
  -x <slots>       split the memory into this number of slots (1)
  -i <iterations>  2 or more (2)
  -s <type>        anonymous or anonymous_thp (anonymous)
  -g               plain log: GET clears; not KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 with every page dirty at first
`;

interface PerfOptions {
  readonly vcpus: number;
  readonly bytesPerVcpu: number;
  readonly percent: number;
  readonly overlap: boolean;
  readonly slots: number;
  readonly iterations: number;
  readonly huge: boolean;
  readonly manual: boolean;
}

/** One side, as the test sees it. Times in nanoseconds. */
interface Tested extends AsyncDisposable {
  readonly name: string;
  writeByGuests(pattern: ReturnType<typeof contiguous>, stride: number, threshold: number): Promise<number>;
  start(): Promise<number>;
  stop(): Promise<number>;
  get(): Promise<number>;
  clear(): Promise<number>;
}

const seconds = (nanoseconds: number) => `${(nanoseconds / 1e9).toFixed(9)}s`;

/** Runs the test on both sides. @throws Error for options that it does not know */
export async function perfTest(args: readonly string[], print: (line: string) => void): Promise<void> {
  const options = parse(args);
  await using baseline = Baseline.start();
  const { vcpus, bytesPerVcpu, slots, huge, manual, iterations } = options;
  const side: SideOptions = {
    source: manual ? 'manual' : 'plain',
    bytes: vcpus * bytesPerVcpu,
    vcpus,
    slots,
    huge,
    populate: false,
    initiallyDirty: manual,
  };
  print(`Test iterations: ${iterations}`);
  const end = DATA_ADDRESS + side.bytes;
  print(`guest physical test memory: [0x${DATA_ADDRESS.toString(16)}, 0x${end.toString(16)})`);
  const sides = [
    async () => testOurs(await Ours.open(side)),
    async () => testTheirs(await Theirs.open(baseline, side)),
  ];
  for (const open of sides) {
    await using tested = await open();
    print(`\n── ${tested.name} ──`);
    await run(tested, options, print);
  }
}

async function run(tested: Tested, options: PerfOptions, print: (line: string) => void): Promise<void> {
  const { vcpus, bytesPerVcpu, percent, overlap, iterations, manual } = options;
  const pages = (overlap ? vcpus * bytesPerVcpu : bytesPerVcpu) / PAGE;
  // A mask of all ones: the pages follow each other, and their number need not be a power of two.
  const pattern = contiguous(2 ** 32, pages, 0);
  const stride = overlap ? 0 : pages;
  const touch = (share: number) =>
    tested.writeByGuests(pattern, stride, share === 100 ? ALWAYS : Math.floor((share / 100) * ALWAYS));
  print(`Populate memory time: ${seconds(await touch(100))}`);
  print(`Enabling dirty logging time: ${seconds(await tested.start())}\n`);
  let got = 0;
  let cleared = 0;
  for (let iteration = 1; iteration <= iterations; iteration++) {
    print(`Iteration ${iteration} dirty memory time: ${seconds(await touch(percent))}`);
    const get = await tested.get();
    got += get;
    print(`Iteration ${iteration} get dirty log time: ${seconds(get)}`);
    if (!manual) continue;
    const clear = await tested.clear();
    cleared += clear;
    print(`Iteration ${iteration} clear dirty log time: ${seconds(clear)}`);
  }
  print(`Disabling dirty logging time: ${seconds(await tested.stop())}`);
  const average = (what: string, total: number) =>
    print(
      `${what} dirty log over ${iterations} iterations took ${seconds(total)}. (Avg ${seconds(total / iterations)}/iteration)`,
    );
  average('Get', got);
  if (manual) average('Clear', cleared);
}

function testTheirs(theirs: Theirs): Tested {
  return {
    name: 'C++: the ioctls alone, with everything cleared by one KVM_CLEAR_DIRTY_LOG per slot, as the kernel test does it',
    writeByGuests: (...order) => theirs.writeByGuests(...order),
    start: theirs.start,
    stop: theirs.stop,
    get: theirs.get,
    clear: theirs.clear,
    [Symbol.asyncDispose]: () => theirs[Symbol.asyncDispose](),
  };
}

/** A harvest clears what it fetched, whichever the log: 'get' is all of it, and 'clear' is the commit. */
function testOurs(ours: Ours): Tested {
  let open: { commit(): void } | undefined;
  const timed = async (body: () => void): Promise<number> => {
    const start = process.hrtime.bigint();
    body();
    return Number(process.hrtime.bigint() - start);
  };
  const finish = () => {
    open?.commit();
    open = undefined;
  };
  return {
    name: "node-kvm: 'get' is harvest() and rangeArray(), which fetch and clear; 'clear' is commit()",
    writeByGuests: (...order) => ours.writeByGuests(...order),
    start: () => ours.start(),
    stop: () => {
      finish();
      return ours.stop();
    },
    get: () =>
      timed(() => {
        finish();
        const harvest = ours.memory.harvest();
        harvest.rangeArray();
        open = harvest;
      }),
    clear: () => timed(finish),
    [Symbol.asyncDispose]: () => ours[Symbol.asyncDispose](),
  };
}

function parse(args: readonly string[]): PerfOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      v: { type: 'string', short: 'v', default: '1' },
      b: { type: 'string', short: 'b', default: '1G' },
      w: { type: 'string', short: 'w' },
      f: { type: 'string', short: 'f', default: '1' },
      o: { type: 'boolean', short: 'o', default: false },
      x: { type: 'string', short: 'x', default: '1' },
      i: { type: 'string', short: 'i', default: '2' },
      s: { type: 'string', short: 's', default: 'anonymous' },
      g: { type: 'boolean', short: 'g', default: false },
    },
  });
  const number = (text: string, name: string, min: number, max: number) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new Error(`-${name} ${text}: an integer from ${min} to ${max}`);
    }
    return value;
  };
  const { s: type, w: written } = values;
  if (type !== 'anonymous' && type !== 'anonymous_thp') throw new Error(`-s ${type}: anonymous or anonymous_thp`);
  const vcpus = number(values.v, 'v', 1, 64);
  const bytesPerVcpu = bytesOf(values.b);
  const options = {
    vcpus,
    bytesPerVcpu,
    percent: written === undefined ? 100 / number(values.f, 'f', 1, 2 ** 20) : number(written, 'w', 0, 100),
    overlap: values.o,
    slots: number(values.x, 'x', 1, 4096),
    iterations: number(values.i, 'i', 2, 2 ** 20),
    huge: type === 'anonymous_thp',
    manual: !values.g,
  };
  if (vcpus * bytesPerVcpu > 512 * GIB) throw new Error('-v and -b: at most 512 GiB together');
  if ((vcpus * bytesPerVcpu) / PAGE < options.slots) throw new Error(`-x ${options.slots}: more slots than pages`);
  return options;
}

function bytesOf(text: string): number {
  const match = /^(\d+)([KMG]?)$/i.exec(text);
  const unit = { '': 1, k: 1024, m: MIB, g: GIB }[match?.[2]?.toLowerCase() ?? ''] ?? Number.NaN;
  const bytes = Number(match?.[1]) * unit;
  if (!(bytes >= PAGE) || bytes % PAGE !== 0) throw new Error(`-b ${text}: a size as 256M, a multiple of ${PAGE}`);
  return bytes;
}
