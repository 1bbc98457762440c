// Region changes under load: what adding and removing a region of guest memory takes while vCPUs run, and while they rest. Main thread.

import { STORM_DATA } from '../../../../shared/lab/storm.ts';
import { GIB, MIB, PAGE_SIZE } from '../../../../shared/units.ts';
import { guestCounts } from '../machines/guest-mixes.ts';
import { StormMachine } from '../machines/storm-machine.ts';
import { peerOpener } from '../peers/peer.ts';
import { findSelftest, MEMSLOT_TEST, openMemslotTest } from '../peers/selftests.ts';
import type { LabContext, OpenVariant, Variant, Workload } from '../workload.ts';

/** What the vCPUs write to meanwhile, together. */
const LOAD_BYTES = 16 * MIB;
/** Where the region comes and goes. */
const PLACE = STORM_DATA + 64 * GIB;
/** Large enough that the region's size would show, small enough that mapping it is not what is measured. */
const REGION_BYTES = 2 * MIB;

export const regionChurn: Workload = {
  suite: 'regions',
  name: 'churn',
  title: 'adding and removing a region, with 1 to N vCPUs that run or rest',
  model:
    'One operation is addRegion() and removeRegion() of 2 MiB: a mapping, a KVM slot, the table that all threads see, and the way back. Removing a region takes ' +
    "all vCPUs out of the guest first, so with running vCPUs (load 'busy') their number, and the time that a kick takes, add to it; with vCPUs that sleep in a device " +
    "(load 'idle') they don't. The memory of the region is not touched: what freeing touched pages takes is not in the figure. " +
    'The baseline maps memory and makes the two ioctls: KVM itself takes the vCPUs out, and no table is to be published. ' +
    "Beside one busy vCPU the kernel's memslot_perf_test is shown where it is installed: its 'move inactive area' moves a slot of 2 MiB away and back, two ioctls as well, but " +
    'both of them take the vCPU out, and it maps nothing.',
  kinds: ['guest'],
  needsKvm: true,
  variants: context =>
    guestCounts(context.scenario).flatMap(count =>
      (['idle', 'busy'] as const).map(load => churnVariant(context, count, load)),
    ),
};

function churnVariant(context: LabContext, count: number, load: 'idle' | 'busy'): Variant {
  return {
    suite: 'regions',
    workload: 'churn',
    actors: `guest:${count}`,
    count,
    parameters: { load },
    unit: 'us',
    better: 'lower',
    open: async () => {
      const machine = await StormMachine.open({ ...layout(count), cpus: context.cpus });
      const { memory } = machine;
      return repeating(machine, count, load, () => {
        memory.addRegion(PLACE, REGION_BYTES);
        memory.removeRegion(PLACE);
      });
    },
    openBaseline: async () => {
      const { machine, vm } = await StormMachine.openBare({ ...layout(count), cpus: context.cpus });
      return repeating(machine, count, load, () => vm.churn(PLACE, REGION_BYTES));
    },
    // The test has one vCPU, which never rests.
    ...(count === 1 && load === 'busy' ? { peers: peersOf(context) } : {}),
  };
}

/** The kernel's own test, where somebody has built it. */
function peersOf(context: LabContext): NonNullable<Variant['peers']> {
  if (!context.scenario.peers) return {};
  const test = findSelftest(MEMSLOT_TEST);
  if (!test.found) {
    context.skip(`peer ${MEMSLOT_TEST}`, test.reason);
    return {};
  }
  return { [MEMSLOT_TEST]: peerOpener(context, MEMSLOT_TEST, () => openMemslotTest(test.file, REGION_BYTES)) };
}

/** Pages of each vCPU: a power of two of them. */
const partOf = (vcpus: number) => 2 ** Math.floor(Math.log2(LOAD_BYTES / PAGE_SIZE / vcpus));

const layout = (vcpus: number) => ({ vcpus, data: { bytes: partOf(vcpus) * vcpus * PAGE_SIZE, slots: 1 } });

/** Repetitions of `change`, each timed, under load or not. */
function repeating(machine: StormMachine, vcpus: number, load: 'idle' | 'busy', change: () => void): OpenVariant {
  const pages = partOf(vcpus);
  let lastNs = 0;
  return {
    get lastNs() {
      return lastNs;
    },
    async repeat(scale) {
      const count = Math.ceil(scale);
      if (load === 'busy') {
        machine.start(vcpu => ({ kind: 'load', firstPage: vcpu * pages, pages }));
        await machine.loading();
      }
      const latenciesNs = new Float64Array(count);
      for (let i = 0; i < count; i++) {
        const start = process.hrtime.bigint();
        change();
        latenciesNs[i] = Number(process.hrtime.bigint() - start);
      }
      if (load === 'busy') {
        // They went on after the last change.
        await machine.loading();
        await machine.finish();
      }
      lastNs = latenciesNs.reduce((sum, ns) => sum + ns, 0);
      return { value: lastNs / count / 1e3, latenciesNs };
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}
