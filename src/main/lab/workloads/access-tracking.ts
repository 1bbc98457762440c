// Access tracking: the kernel's access_tracking_perf_test, alone, for the library has nothing that it could be held against: KVM notes which pages a guest
// accessed for the host's memory management, and no ioctl tells of it. Main thread.

import { MIB } from '../../../../shared/units.ts';
import { guestCounts } from '../machines/guest-mixes.ts';
import { peerOpener } from '../peers/peer.ts';
import {
  ACCESS_TRACKING_TEST,
  type AccessTrackingCase,
  findSelftest,
  openAccessTrackingTest,
} from '../peers/selftests.ts';
import type { LabContext, Variant, Workload } from '../workload.ts';

/** Fewer pages would all lie in the lists on which the kernel keeps new pages for a while, and those it does not mark. */
const SIZE_MIN = 4 * MIB;
const NAME = 'selftests/access-tracking';

export const accessTracking: Workload = {
  suite: 'selftests',
  name: 'access-tracking',
  title:
    "the kernel's access_tracking_perf_test, where it is installed: writes to pages that were marked idle, and to others",
  model:
    'A peer alone: the library has no such thing, so there is neither a figure of its own nor a ratio. The vCPUs of the test write a word to each page once, in memory ' +
    "that was just written to ('populated') and in memory that was marked idle through /sys/kernel/mm/page_idle since ('idle'): then KVM has to note each access. The " +
    'difference is what tracking costs the guest, to be held against that of the dirty storm, which notes writes alone. It needs root and a kernel with ' +
    'CONFIG_IDLE_PAGE_TRACKING.',
  kinds: ['guest'],
  needsKvm: true,
  variants(context) {
    const { scenario } = context;
    if (!scenario.peers) {
      context.skip(NAME, 'it is a peer, and those were not asked for');
      return [];
    }
    const bytes = Math.max(...scenario.sizes);
    if (bytes < SIZE_MIN) {
      context.skip(NAME, 'no size from 4M on in the scenario');
      return [];
    }
    const program = findSelftest(ACCESS_TRACKING_TEST);
    if (!program.found) {
      context.skip(NAME, program.reason);
      return [];
    }
    return guestCounts(scenario).flatMap(vcpus =>
      (['populated', 'idle'] as const).map(memory => variantOf(context, program.file, { vcpus, bytes, memory })),
    );
  },
};

function variantOf(context: LabContext, file: string, { vcpus, bytes, memory }: AccessTrackingCase): Variant {
  // Whole MiB for each vCPU: the test rounds to the guest's pages itself, differently from kernel to kernel.
  const each = { vcpus, bytes: Math.floor(bytes / vcpus / MIB) * MIB * vcpus, memory };
  const open = () => openAccessTrackingTest(file, each);
  return {
    suite: 'selftests',
    workload: 'access-tracking',
    actors: `guest:${vcpus}`,
    count: vcpus,
    parameters: { program: ACCESS_TRACKING_TEST, memory, bytes: each.bytes },
    unit: 'pages/s',
    better: 'higher',
    fixedScale: true,
    peerWorks: async () => (await peerOpener(context, ACCESS_TRACKING_TEST, open)()) !== undefined,
    open,
  };
}
