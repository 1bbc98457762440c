// What every test file may use: suites that need something of the machine and are skipped, counted and explained where it
// is not there. A thing that is there and fails is never skipped: only absence skips.

import { existsSync } from 'node:fs';
import { suite } from 'uvu';

type TestBody = () => void | Promise<void>;

/** What a test file calls: `test(name, body)` any number of times, then `test.run()`. */
export interface Suite {
  (name: string, body: TestBody): void;
  before(hook: TestBody): void;
  after(hook: TestBody): void;
  run(): void;
}

/** The KVM device that the library will open; NODE_KVM_DEVICE hides or replaces it. */
export const kvmDevice = process.env['NODE_KVM_DEVICE'] ?? '/dev/kvm';
export const hasKvm = existsSync(kvmDevice);

/** Prints the line that the runner counts. */
function skipped(name: string, count: number, reason: string): void {
  console.log(`# SKIP ${count} ${name}: ${reason}`);
}

/** A suite that runs when `missing` is undefined, and otherwise counts its tests as skipped for that reason. */
export function suiteUnless(missing: string | undefined, name: string): Suite {
  if (missing === undefined) return suite(name) as unknown as Suite;
  let count = 0;
  const collect = (() => {
    count += 1;
  }) as unknown as Suite;
  collect.before = () => {};
  collect.after = () => {};
  collect.run = () => skipped(name, count, missing);
  return collect;
}

/** A suite that needs a real KVM. REQUIRE_KVM=1 makes a missing one a failure. */
export function kvmSuite(name: string): Suite {
  if (hasKvm) return suiteUnless(undefined, name);
  const reason = `no ${kvmDevice} on this machine`;
  if (process.env['REQUIRE_KVM'] === '1') throw new Error(`REQUIRE_KVM=1, but there is ${reason}`);
  return suiteUnless(reason, name);
}

/** A suite that needs a file of the machine, for example a Debian package's. */
export function fileSuite(file: string, install: string, name: string): Suite {
  return suiteUnless(existsSync(file) ? undefined : `${file} is missing (${install})`, name);
}
