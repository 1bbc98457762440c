// Failing ioctls of the kernel's write tracking.

import { testFailingIoctls } from '../dirty-failing.ts';

testFailingIoctls('pagemap');
