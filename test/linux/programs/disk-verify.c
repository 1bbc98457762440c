// Reads and writes a block device at random, from several threads that are spread over the processors, and checks every sector that comes
// back. A sector that was written holds its number, its generation (how often it was written), words made from both, and a checksum.
// Chunks of the device belong to one thread each, so that each knows what it has to find there. Half of the requests go past the page cache
// (O_DIRECT), half through it. At the end all that was written is read once more, past the cache.
// Usage: disk-verify DEVICE THREADS REQUESTS-PER-THREAD SEED; prints key=value lines. Exit status: 0, 1 when something else came back.

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SECTOR = 512, WORDS = SECTOR / 8, CHUNK_SECTORS = 2048, THREADS_MAX = 16, CPUS_MAX = 64 };

struct worker {
  pthread_t thread;
  int index;
  uint64_t random;
  uint64_t bytes_written;
  uint64_t bytes_read;
  uint64_t cpus;
};

static const char *device;
static int threads;
static long requests;
static uint64_t sectors;
/* By sector. Each entry is touched by the owner of its chunk only, and by main() when the threads have ended. */
static uint32_t *generations;
static atomic_int wrong;

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 29;
  return x;
}

/* xorshift64: never 0 if it was not 0 before. */
static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static uint64_t checksum(const uint64_t *words) {
  uint64_t sum = 0xcbf29ce484222325ULL;
  for (int i = 0; i < WORDS - 1; i++) sum = (sum ^ words[i]) * 0x100000001b3ULL;
  return sum;
}

static void fill(uint64_t *words, uint64_t sector, uint32_t generation) {
  uint64_t state = mix(sector << 20 | generation) | 1;
  words[0] = sector;
  words[1] = generation;
  for (int i = 2; i < WORDS - 1; i++) words[i] = next_random(&state);
  words[WORDS - 1] = checksum(words);
}

/* What was never written is not ours to judge. */
static void check(const uint64_t *words, uint64_t sector, const char *how) {
  uint32_t generation = generations[sector];
  if (generation == 0) return;
  if (words[0] == sector && words[1] == generation && words[WORDS - 1] == checksum(words)) return;
  if (atomic_fetch_add(&wrong, 1) < 10)
    printf("wrong: sector %llu of generation %u, %s, has sector %llu of generation %llu, checksum %s\n",
           (unsigned long long)sector, generation, how, (unsigned long long)words[0], (unsigned long long)words[1],
           words[WORDS - 1] == checksum(words) ? "right" : "wrong");
}

static void *allocate(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, 4096, bytes) != 0) fail("posix_memalign");
  return memory;
}

static void *work(void *argument) {
  struct worker *self = argument;
  int direct = open(device, O_RDWR | O_DIRECT);
  int cached = open(device, O_RDWR);
  if (direct < 0 || cached < 0) fail(device);
  uint64_t *buffer = allocate(CHUNK_SECTORS * SECTOR);
  uint64_t chunks = sectors / CHUNK_SECTORS;
  uint64_t own = chunks / threads + (chunks % threads > (uint64_t)self->index);
  for (long i = 0; i < requests; i++) {
    uint64_t dice = next_random(&self->random);
    uint64_t chunk = next_random(&self->random) % own * threads + self->index;
    uint64_t first = next_random(&self->random) % CHUNK_SECTORS;
    /* One sector and a whole chunk are about as likely. */
    uint64_t count = 1 + next_random(&self->random) % (1ULL << (dice >> 8 & 15) % 12);
    if (count > CHUNK_SECTORS - first) count = CHUNK_SECTORS - first;
    uint64_t start = chunk * CHUNK_SECTORS + first;
    int is_direct = dice & 1;
    int fd = is_direct ? direct : cached;
    size_t bytes = count * SECTOR;
    if (dice & 2) {
      for (uint64_t s = 0; s < count; s++) fill(buffer + s * WORDS, start + s, ++generations[start + s]);
      if (pwrite(fd, buffer, bytes, start * SECTOR) != (ssize_t)bytes) fail("pwrite");
      self->bytes_written += bytes;
    } else {
      /* A read that stores nothing must not find what was there before. */
      memset(buffer, 0xee, bytes);
      if (pread(fd, buffer, bytes, start * SECTOR) != (ssize_t)bytes) fail("pread");
      for (uint64_t s = 0; s < count; s++)
        check(buffer + s * WORDS, start + s, is_direct ? "read past the cache" : "read through the cache");
      self->bytes_read += bytes;
    }
    if ((dice >> 16) % 64 == 0 && fdatasync(fd) != 0) fail("fdatasync");
    self->cpus |= 1ULL << sched_getcpu();
  }
  if (fsync(cached) != 0) fail("fsync");
  close(direct);
  close(cached);
  free(buffer);
  return NULL;
}

/* Reads each run of written sectors once more, and returns how many sectors that are. */
static uint64_t read_back(void) {
  int fd = open(device, O_RDONLY | O_DIRECT);
  if (fd < 0) fail(device);
  uint64_t *buffer = allocate(CHUNK_SECTORS * SECTOR);
  uint64_t written = 0;
  for (uint64_t start = 0, count; start < sectors; start += count) {
    count = 1;
    if (generations[start] == 0) continue;
    while (count < CHUNK_SECTORS && start + count < sectors && generations[start + count] != 0) count++;
    if (pread(fd, buffer, count * SECTOR, start * SECTOR) != (ssize_t)(count * SECTOR)) fail("pread");
    for (uint64_t s = 0; s < count; s++) check(buffer + s * WORDS, start + s, "read at the end");
    written += count;
  }
  close(fd);
  free(buffer);
  return written;
}

int main(int argc, char **argv) {
  static struct worker workers[THREADS_MAX];
  if (argc != 5) {
    fprintf(stderr, "usage: disk-verify DEVICE THREADS REQUESTS-PER-THREAD SEED\n");
    return 2;
  }
  device = argv[1];
  threads = atoi(argv[2]);
  requests = atol(argv[3]);
  uint64_t bytes = 0;
  int fd = open(device, O_RDONLY);
  if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0) fail(device);
  close(fd);
  sectors = bytes / SECTOR;
  if (threads < 1 || threads > THREADS_MAX || sectors % CHUNK_SECTORS != 0 || sectors / CHUNK_SECTORS < (uint64_t)threads) {
    fprintf(stderr, "disk-verify: %d threads on %llu sectors\n", threads, (unsigned long long)sectors);
    return 2;
  }
  generations = calloc(sectors, sizeof(*generations));
  if (generations == NULL) fail("calloc");

  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  for (int i = 0; i < threads; i++) {
    workers[i].index = i;
    workers[i].random = mix(strtoull(argv[4], NULL, 0) * THREADS_MAX + i + 1) | 1;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) fail("pthread_create");
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(i % cpus, &set);
    if (pthread_setaffinity_np(workers[i].thread, sizeof(set), &set) != 0) fail("pthread_setaffinity_np");
  }
  uint64_t written = 0, read = 0, seen = 0;
  for (int i = 0; i < threads; i++) {
    pthread_join(workers[i].thread, NULL);
    written += workers[i].bytes_written;
    read += workers[i].bytes_read;
    seen |= workers[i].cpus;
  }
  printf("verify_written=%llu\n", (unsigned long long)written);
  printf("verify_read=%llu\n", (unsigned long long)read);
  printf("verify_cpus=%d\n", __builtin_popcountll(seen));
  printf("verify_sectors=%llu\n", (unsigned long long)read_back());
  printf("verify_wrong=%d\n", atomic_load(&wrong));
  return atomic_load(&wrong) == 0 ? 0 : 1;
}
