// How slow this machine is. Limits that tests set for a time are there to tell a prompt reaction from one that never comes; an
// emulated machine reacts as promptly, but in its own time. Imports nothing.

/** Limits in milliseconds are multiplied by this: 1 on hardware, or what TEST_SLOWNESS says. */
export const slowness = Number(process.env['TEST_SLOWNESS'] ?? 1);

/** How often a test repeats what is a matter of chance: a fifth of `count` where time is dear. Long runs are the soak's. */
export const repeats = (count: number) => (slowness > 1 ? Math.ceil(count / 5) : count);
