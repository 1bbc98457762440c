// Source 'pagemap' while vCPUs write: harvests, stops and starts, changes of the map.

import { testWhileRunning } from '../while-running.ts';

testWhileRunning('pagemap', 'pagemap', { source: 'pagemap' });
