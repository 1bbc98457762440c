// How slow this machine is. Limits that tests set for a time are there to tell a prompt reaction from one that never comes; an
// emulated machine reacts as promptly, but in its own time. Imports nothing.

/** Limits in milliseconds are multiplied by this: 1 on hardware, or what TEST_SLOWNESS says. */
export const slowness = Number(process.env['TEST_SLOWNESS'] ?? 1);
