// Failing ioctls of KVM's log with the calls of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.

import { testFailingIoctls } from '../dirty-failing.ts';

testFailingIoctls('manual bitmap and guest');
