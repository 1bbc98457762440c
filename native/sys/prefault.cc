// Parallel MADV_POPULATE_WRITE: threads take chunks from a common counter.

#include "sys/prefault.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "sys/mapping.h"

// Linux 5.14; older headers lack it.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace sys {
namespace {

// Small enough to share work evenly, large enough to hold a 1 GiB page's worth of calls down.
constexpr size_t kChunk = size_t{32} << 20;

/** The work: threads take chunks from `next` until none is left or one has failed. */
struct Job {
  char* data;
  size_t size;
  std::atomic<size_t> next{0};
  std::atomic<int> errnum{0};
};

void Work(Job& job) {
  while (job.errnum.load(std::memory_order_relaxed) == 0) {
    const size_t begin = job.next.fetch_add(kChunk, std::memory_order_relaxed);
    if (begin >= job.size) return;
    const size_t length = std::min(kChunk, job.size - begin);
    int result;
    do {
      result = madvise(job.data + begin, length, MADV_POPULATE_WRITE);
    } while (result != 0 && errno == EINTR);  // a kick or a heartbeat: what was populated stays, and the call goes on
    if (result != 0) {
      int none = 0;
      job.errnum.compare_exchange_strong(none, errno);
      return;
    }
  }
}

void* ThreadMain(void* job) {
  Work(*static_cast<Job*>(job));
  return nullptr;
}

}  // namespace

Result<void> Prefault(void* data, size_t size, unsigned threads) {
  Job job{static_cast<char*>(data), size};
  const size_t chunks = (size + kChunk - 1) / kChunk;
  const size_t helpers = std::min<size_t>(threads, chunks) - (threads > 0 && chunks > 0 ? 1 : 0);

  // Helpers inherit the mask: no signal of the process may be delivered to a thread that the runtime does not know.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::vector<pthread_t> started;
  started.reserve(helpers);
  for (size_t i = 0; i < helpers; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, ThreadMain, &job) != 0) break;
    started.push_back(thread);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  Work(job);
  for (const pthread_t thread : started) pthread_join(thread, nullptr);
  const int errnum = job.errnum.load();
  if (errnum != 0) return SysError{errnum, "madvise"};
  return {};
}

size_t ResidentBytes(const void* data, size_t size, size_t most) {
  constexpr size_t kPagesAtOnce = 16384;
  const size_t page_size = PageSize();
  std::array<unsigned char, kPagesAtOnce> resident;
  size_t found = 0;
  for (size_t offset = 0; offset < size && found < most; offset += kPagesAtOnce * page_size) {
    const size_t length = std::min(size - offset, kPagesAtOnce * page_size);
    // SAFETY: mincore() reads the page tables only; the address is the kernel's to check.
    void* at = const_cast<char*>(static_cast<const char*>(data) + offset);
    if (mincore(at, length, resident.data()) != 0) return 0;
    const size_t pages = (length + page_size - 1) / page_size;
    for (size_t i = 0; i < pages; ++i) found += (resident[i] & 1) * page_size;
  }
  return std::min(found, most);
}

}  // namespace sys
