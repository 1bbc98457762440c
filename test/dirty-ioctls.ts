// The ioctls that each source makes for each operation of dirty-operations.ts, in their order, on a memory with base RAM and three more
// regions: four slots in four mappings, each with one chunk of dirty pages. A call that a source comes to make is to be added
// here, and is then made to fail. Pure.

import type { SetupName } from './dirty-setups.ts';

/** Base RAM, and dirty-operations.ts's PLACES. */
const SLOTS = 4;

const times = (count: number, ...names: readonly string[]): string[] =>
  Array.from({ length: count }, () => names).flat();

/** Is there a manual log? */
const ASK = 'KVM_CHECK_EXTENSION';
const CHOOSE = 'KVM_ENABLE_CAP';
const SET = 'KVM_SET_USER_MEMORY_REGION';
const GET = 'KVM_GET_DIRTY_LOG';
const CLEAR = 'KVM_CLEAR_DIRTY_LOG';
export const RESET = 'KVM_RESET_DIRTY_RINGS';
const SCAN = 'PAGEMAP_SCAN';
const REGISTER = ['UFFDIO_REGISTER', SCAN];
const OPEN_TRACKER = ['userfaultfd', 'UFFDIO_API'];

/** Delete one slot, make three. */
const SPLIT = times(4, SET);
const START_PAGEMAP = [...OPEN_TRACKER, ...times(SLOTS, ...REGISTER)];

const GONE = 'remove a region';
const GONE_FOR_NOW = 'remove a region whose memory comes back';

/** KVM's log, with the calls that prepare it, those that turn on the other kind of log, and those that take what one slot has. */
function bitmap(
  start: readonly string[],
  startOther: readonly string[],
  take: readonly string[],
): Readonly<Record<string, readonly string[]>> {
  const collect = times(SLOTS, ...take);
  const stop = [...collect, ...times(SLOTS, SET)];
  return {
    harvest: collect,
    // Opening one collects too: what was written before is not its business.
    'harvest of a cursor': [...collect, ...times(SLOTS, GET)],
    enable: [...start, ...times(SLOTS, SET)],
    'enable with the other log': startOther,
    disable: stop,
    'switch to another source': [...START_PAGEMAP, ...stop],
    'add a region': [SET],
    [GONE]: [GET, SET],
    [GONE_FOR_NOW]: [...take, SET],
    'split a region': [...take, ...SPLIT],
  };
}

/** Names per setup (dirty-setups.ts) and operation. */
export const EXPECTED: Readonly<Record<SetupName, Readonly<Record<string, readonly string[]>>>> = {
  host: {
    harvest: [],
    'harvest of a cursor': [],
    enable: [],
    disable: [],
    'switch to another source': START_PAGEMAP,
    'add a region': [],
    [GONE]: [],
    [GONE_FOR_NOW]: [],
    'split a region': [],
  },
  pagemap: {
    harvest: times(SLOTS, SCAN),
    'harvest of a cursor': times(2 * SLOTS, SCAN),
    enable: START_PAGEMAP,
    disable: times(SLOTS, SCAN),
    'switch to another source': times(SLOTS, SCAN),
    'add a region': REGISTER,
    // A failing scan of what has gone is not reported: there is nothing to go back to.
    [GONE]: [],
    [GONE_FOR_NOW]: [],
    'split a region': [],
  },
  'bitmap and guest': bitmap([ASK], [ASK, ASK, CHOOSE, ...times(SLOTS, SET), ASK, CHOOSE], [GET]),
  'manual bitmap and guest': bitmap([ASK, ASK], [ASK, CHOOSE, ...times(SLOTS, SET)], [GET, CLEAR]),
  // How often rings are reset depends on what vCPUs read and write meanwhile: a row of resets counts as one.
  'ring and guest': {
    harvest: [RESET],
    'harvest of a cursor': [RESET],
    enable: times(SLOTS, SET),
    disable: [RESET, ...times(SLOTS, SET)],
    'switch to another source': [...START_PAGEMAP, RESET, ...times(SLOTS, SET)],
    'add a region': [SET],
    [GONE]: [RESET, SET],
    [GONE_FOR_NOW]: [RESET, SET],
    'split a region': [RESET, ...SPLIT],
  },
  'pagemap and guest': {
    harvest: times(SLOTS, SCAN),
    'harvest of a cursor': times(2 * SLOTS, SCAN),
    enable: START_PAGEMAP,
    disable: times(SLOTS, SCAN),
    'switch to another source': [ASK, ...times(SLOTS, SET), ...times(SLOTS, SCAN)],
    'add a region': [...REGISTER, SET],
    [GONE]: [SET],
    [GONE_FOR_NOW]: [SET],
    'split a region': SPLIT,
  },
};
