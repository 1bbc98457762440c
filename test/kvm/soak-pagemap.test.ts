// The dirty soak with the kernel's write tracking.

import { soakSuite } from '../soak-suite.ts';

soakSuite('pagemap');
