// Failing ioctls of KVM's dirty rings.

import { testFailingIoctls } from '../dirty-failing.ts';

testFailingIoctls('ring and guest');
