// Source 'bitmap' with KVM_CLEAR_DIRTY_LOG, while vCPUs write: harvests, stops and starts, changes of the map.

import { testWhileRunning } from '../while-running.ts';

testWhileRunning('bitmap', 'bitmap, manual', { source: 'bitmap', log: 'manual' });
