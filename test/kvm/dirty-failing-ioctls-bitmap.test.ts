// Failing ioctls of KVM's log.

import { testFailingIoctls } from '../dirty-failing.ts';

testFailingIoctls('bitmap and guest');
