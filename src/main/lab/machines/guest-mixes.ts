// Which numbers of vCPUs a scenario asks the machine workloads for, and what all of them check. Pure; main thread.

import { HypervisorError } from '../../../../shared/errors.ts';
import type { Scenario } from '../scenario.ts';

/** The N of every mix 'guest:N' of the scenario: machine workloads have vCPUs alone. */
export function guestCounts(scenario: Scenario): number[] {
  return scenario.actors.flatMap(mix => {
    const match = /^guest:(\d+)$/.exec(mix);
    return match === null ? [] : [Number(match[1])];
  });
}

/** @throws `ERR_LAB_RESULT` when `holds` is false */
export function requireResult(holds: boolean, message: () => string): void {
  if (!holds) throw new HypervisorError('ERR_LAB_RESULT', message());
}
