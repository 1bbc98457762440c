// Prints the frequency of this machine's time stamp counter in kHz: how many ticks pass while CLOCK_MONOTONIC_RAW says that a second does.

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct both {
    uint64_t ticks;
    double ns;
};

// The counter and the clock at the same time: of many attempts, the one that was interrupted least.
static struct both now(void) {
    struct both best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        struct timespec at;
        uint64_t before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &at);
        uint64_t took = __rdtsc() - before;
        if (took >= least) continue;
        least = took;
        best = (struct both){before + took / 2, at.tv_sec * 1e9 + at.tv_nsec};
    }
    return best;
}

int main(void) {
    struct both first = now();
    nanosleep(&(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL);
    struct both last = now();
    printf("%.0f\n", (last.ticks - first.ticks) / (last.ns - first.ns) * 1e6);
    return 0;
}
