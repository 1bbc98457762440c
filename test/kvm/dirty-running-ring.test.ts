// Source 'ring' while vCPUs write: harvests, stops and starts, changes of the map.

import { testWhileRunning } from '../while-running.ts';

testWhileRunning('ring', 'ring', { source: 'ring', ringEntries: 1024 });
