// Failing ioctls of the kernel's write tracking, under a guest.

import { testFailingIoctls } from '../dirty-failing.ts';

testFailingIoctls('pagemap and guest');
