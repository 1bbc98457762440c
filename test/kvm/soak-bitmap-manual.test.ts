// The dirty soak with KVM's log with KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.

import { soakSuite } from '../soak-suite.ts';

soakSuite('bitmap-manual');
