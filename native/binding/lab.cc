// labRun: barrier, time, kernel, time, results. The kernels are lab/kernels.c; here is what they must not reach beyond.
// writeMarked: one pass of the dirty storm's host writer.

#include "binding/lab.h"

#include <sched.h>

#include <cstring>

#include "binding/args.h"
#include "binding/errors.h"
#include "lab/kernels.h"
#include "sys/bitmap.h"
#include "sys/clock.h"

namespace binding {
namespace {

/** With more actors than processors a late one waits for the processor that an early one spins on. */
constexpr unsigned kSpinsBeforeYield = 20'000;

/** False: it is over, and nobody will come any more. */
bool MeetAtBarrier(uint8_t* arena) {
  lab_barrier_arrive(arena);
  for (unsigned spins = 0; !lab_barrier_open(arena); ++spins) {
    if (lab_is_over(arena)) return false;
    if (spins < kSpinsBeforeYield)
      lab_pause();
    else
      sched_yield();
  }
  return true;
}

}  // namespace

Napi::Value LabRun(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> arena = args.Shared(0, "arena");
  const uint32_t actor = args.U32(1, "actor", LAB_ACTORS_MAX - 1);
  if (!args.failed()) args.NeedSize("arena", LAB_LAYOUT_DATA, arena.size());
  if (args.failed()) return {};
  // SAFETY: the block lies below LAB_LAYOUT_DATA, which is within the arena; an address that is a multiple of 8, since
  // shared buffers begin at a page or at malloc's alignment.
  lab_order order = lab_order_take(arena.data(), arena.size(), actor);
  if (lab_order_fits(&order) == 0) {
    return ThrowRange(info.Env(), "kernel " + std::to_string(order.kernel) + " of actor " + std::to_string(actor) +
                                      " is unknown, or its parameters lead out of the arena of " + Hex(arena.size()) +
                                      " bytes");
  }
  if (!MeetAtBarrier(arena.data())) return info.Env().Undefined();
  const uint64_t start = sys::MonotonicNs();
  // SAFETY: the order is a copy that fits. Other actors use the same bytes at the same time: that is what is measured.
  lab_order_run(&order);
  lab_order_report(&order, actor, start, sys::MonotonicNs());
  return info.Env().Undefined();
}

Napi::Value WriteMarked(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> data = args.SharedBytes(0, "data");
  const std::span<uint8_t> marks = args.SharedBytes(1, "marks");
  const std::span<uint8_t> summary = args.SharedBytes(2, "summary");
  const uint32_t value = args.U32(3, "value");
  const uint64_t pages = data.size() / sys::kPageBytes;
  args.NeedSize("marks", pages, marks.size());
  args.NeedSize("summary", (pages + sys::kPagesPerSummary - 1) / sys::kPagesPerSummary, summary.size());
  if (args.failed()) return {};
  for (uint64_t page = 0; page < pages; ++page) {
    memcpy(data.data() + page * sys::kPageBytes, &value, sizeof(value));
    // In this order, see sys::TakeMarks; the stores must not be moved.
    __atomic_store_n(&marks[page], uint8_t{1}, __ATOMIC_RELEASE);
    __atomic_store_n(&summary[page / sys::kPagesPerSummary], uint8_t{1}, __ATOMIC_RELEASE);
  }
  return info.Env().Undefined();
}

}  // namespace binding
