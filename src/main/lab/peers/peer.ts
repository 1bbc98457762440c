// What the peers of all workloads share: one that is there and still fails to open is left out, and the report says why. Main thread.

import { messageOf } from '../../../../shared/errors.ts';
import type { LabContext, OpenVariant } from '../workload.ts';

/** An opener for Variant.peers: resolves with undefined, after context.skip(), where `open` rejects. */
export function peerOpener(
  context: LabContext,
  name: string,
  open: () => Promise<OpenVariant>,
): () => Promise<OpenVariant | undefined> {
  return async () => {
    try {
      return await open();
    } catch (error) {
      context.skip(`peer ${name}`, messageOf(error));
      return undefined;
    }
  };
}
