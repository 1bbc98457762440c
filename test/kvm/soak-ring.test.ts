// The dirty soak with KVM's dirty rings.

import { soakSuite } from '../soak-suite.ts';

soakSuite('ring');
