// Source 'bitmap', KVM_GET_DIRTY_LOG alone, while vCPUs write: harvests, stops and starts, changes of the map.

import { testWhileRunning } from '../while-running.ts';

testWhileRunning('bitmap', 'bitmap, plain', { source: 'bitmap', log: 'plain' });
