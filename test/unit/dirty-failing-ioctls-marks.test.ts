// Failing ioctls of none: writes through the API are noted without any; but switching to another source makes some.

import { testFailingIoctls } from '../dirty-failing.ts';

testFailingIoctls('host');
