// The dirty soak with KVM's log.

import { soakSuite } from '../soak-suite.ts';

soakSuite('bitmap');
