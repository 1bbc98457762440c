// Whether a VM is made with dirty rings: they must be there before its first vCPU. Main thread; decides, and makes nothing.

import { HypervisorError } from '../../../shared/errors.ts';
import { RING_ENTRIES_DEFAULT, refuseImpossible } from '../memory/dirty-selection.ts';
import type { EngineChoice } from './engine.ts';
import type { CheckedOptions } from './vm-options.ts';

/**
 * Entries of the dirty rings that the VM is to be made with; undefined: none. Refuses a source that this VM could not have before
 * anything is made. @throws `ERR_DIRTY_SOURCE`, `ERR_VM_NOT_ATTACHED`
 */
export function chooseRing({ dirtyTracking }: CheckedOptions, { engine, reason }: EngineChoice): number | undefined {
  if (dirtyTracking === false) return undefined;
  const { source = 'auto', ringEntries = RING_ENTRIES_DEFAULT } = dirtyTracking;
  if (engine === 'host' && (source === 'bitmap' || source === 'ring')) {
    throw new HypervisorError(
      'ERR_DIRTY_SOURCE',
      `dirty source '${source}' is KVM's, and this VM has engine 'host' (${reason}): use 'auto'`,
    );
  }
  const wantsRing = source === 'ring';
  refuseImpossible(source, engine === 'host' ? undefined : wantsRing ? 'ring' : 'bitmap');
  return wantsRing ? ringEntries : undefined;
}
