// Word-at-a-time loops over marks and bitmaps. x86-64 is little-endian: bit i of a bitmap is bit i % 64 of its i /
// 64-th word.

#include "sys/bitmap.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sys {
namespace {

uint64_t LoadWord(const uint8_t* at) {
  uint64_t word;
  memcpy(&word, at, 8);
  return word;
}

void StoreWord(uint8_t* at, uint64_t word) { memcpy(at, &word, 8); }

/** The lowest `count` bits, 1 to 64. */
uint64_t LowBits(uint64_t count) { return ~uint64_t{0} >> (64 - count); }

/** The first word from `index` on that may not be zero; at most `end`. Looks at four at a time: most of a large bitmap
 * is zero. */
[[gnu::always_inline]] inline uint64_t SkipZeroWords(const uint8_t* bits, uint64_t index, uint64_t end) {
  while (index + 4 <= end) {
    const uint8_t* at = bits + 8 * index;
    if ((LoadWord(at) | LoadWord(at + 8) | LoadWord(at + 16) | LoadWord(at + 24)) != 0) break;
    index += 4;
  }
  return index;
}

/**
 * The words of a bitmap, aligned to its first byte: word i has bits [64 i, 64 i + 64). The last may be shorter than 8
 * bytes; what is missing reads as zero.
 */
class Words {
 public:
  Words(const uint8_t* bits, uint64_t end_bit) : bits_(bits), bytes_(BitmapBytes(end_bit)) {}

  uint64_t operator[](uint64_t index) const {
    if (8 * index + 8 <= bytes_) [[likely]]
      return LoadWord(bits_ + 8 * index);
    uint64_t word = 0;
    memcpy(&word, bits_ + 8 * index, bytes_ - 8 * index);
    return word;
  }
  /** The first word from `index` on that may not be zero; at most `end`. */
  uint64_t SkipZeros(uint64_t index, uint64_t end) const {
    return SkipZeroWords(bits_, index, std::min(end, bytes_ / 8));
  }

 private:
  const uint8_t* bits_;
  uint64_t bytes_;
};

/** Inlined into both of its callers: each has the bit count of its own target. */
[[gnu::always_inline]] inline uint64_t CountInline(const uint8_t* bits, uint64_t first, uint64_t count) {
  if (count == 0) return 0;
  const uint64_t end = first + count;
  const Words words(bits, end);
  const uint64_t last = (end - 1) / 64;
  uint64_t total = 0;
  for (uint64_t index = first / 64; index <= last; ++index) {
    uint64_t word = words[index];
    if (word == 0) {
      index = words.SkipZeros(index + 1, last) - 1;
      continue;
    }
    if (index == first / 64) word &= ~uint64_t{0} << (first % 64);
    if (index == last) word &= LowBits(end - 64 * last);
    total += static_cast<uint64_t>(__builtin_popcountll(word));
  }
  return total;
}

__attribute__((target("popcnt"))) uint64_t CountByInstruction(const uint8_t* bits, uint64_t first, uint64_t count) {
  return CountInline(bits, first, count);
}

/** Of words that other threads write: relaxed loads, and one decision for all of them. */
bool EightAreZero(const uint64_t* words) {
  uint64_t any = 0;
  for (unsigned i = 0; i < 8; ++i) any |= __atomic_load_n(words + i, __ATOMIC_RELAXED);
  return any == 0;
}

}  // namespace

size_t OrBits(const PageSink& sink, uint64_t first, const uint64_t* words, uint64_t pages) {
  size_t found = 0;
  const uint64_t end = (pages + 63) / 64;
  for (uint64_t index = 0; index < end; ++index) {
    uint64_t word = words[index];
    if (word == 0) {
      index = SkipZeroWords(reinterpret_cast<const uint8_t*>(words), index + 1, end) - 1;
      continue;
    }
    if (index == end - 1) word &= LowBits(pages - 64 * index);
    if (word == 0) continue;
    found += static_cast<size_t>(std::popcount(word));
    const uint64_t base = first + 64 * index;
    const unsigned shift = base % 8;
    const size_t at = base / 8;
    if (at + 9 <= sink.bits.size()) [[likely]] {
      StoreWord(sink.bits.data() + at, LoadWord(sink.bits.data() + at) | word << shift);
      if (shift != 0) sink.bits[at + 8] |= static_cast<uint8_t>(word >> (64 - shift));
    } else {
      // At the bitmap's end, where a word does not fit: only bytes that have a bit are touched.
      for (uint64_t rest = word; rest != 0; rest &= rest - 1) {
        const uint64_t page = base + static_cast<uint64_t>(std::countr_zero(rest));
        sink.bits[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
      }
    }
    if (sink.writers == nullptr) continue;
    for (uint64_t rest = word; rest != 0; rest &= rest - 1)
      sink.writers[base + static_cast<uint64_t>(std::countr_zero(rest))] = sink.writer;
  }
  return found;
}

void OrRange(const PageSink& sink, uint64_t first, uint64_t pages) {
  const uint64_t end = first + pages;
  uint64_t page = first;
  for (; page < end && page % 8 != 0; ++page) sink.bits[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
  if (page + 8 <= end) memset(sink.bits.data() + page / 8, 0xff, (end - page) / 8);
  for (page += (end - page) / 8 * 8; page < end; ++page) sink.bits[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
  if (sink.writers != nullptr) std::fill(sink.writers + first, sink.writers + end, sink.writer);
}

size_t TakeMarks(uint8_t* marks, uint8_t* summary, size_t pages, uint8_t* into, uint16_t* writers) {
  size_t found = 0;
  size_t page = 0;
  const auto note = [&](uint64_t values) {
    for (unsigned i = 0; values != 0; ++i, values >>= 8) {
      if ((values & 0xff) != 0) writers[page + i] = static_cast<uint16_t>(values & 0xff);
    }
  };
  const auto take_byte = [&] {
    // Loads first: an exchange takes the cache line from the writers, and most marks are zero.
    if (__atomic_load_n(marks + page, __ATOMIC_RELAXED) != 0) {
      const uint8_t mark = __atomic_exchange_n(marks + page, uint8_t{0}, __ATOMIC_SEQ_CST);
      if (mark != 0) {
        into[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
        if (writers != nullptr) note(mark);
        ++found;
      }
    }
    ++page;
  };
  for (size_t block = 0; page < pages; ++block) {
    const size_t end = std::min<size_t>(pages, page + kPagesPerSummary);
    // Acquire at least: no mark may be looked at before the summary was.
    if (__atomic_load_n(summary + block, __ATOMIC_RELAXED) == 0 ||
        __atomic_exchange_n(summary + block, uint8_t{0}, __ATOMIC_SEQ_CST) == 0) {
      page = end;
      continue;
    }
    while (page < end && reinterpret_cast<uintptr_t>(marks + page) % 8 != 0) take_byte();
    for (size_t looked_at = page; end - page >= 8; page += 8) {
      // SAFETY: aligned by the loop above, and within the marks by the condition. x86 lets bytes and words of the same
      // memory be accessed atomically side by side.
      auto* word = reinterpret_cast<uint64_t*>(marks + page);
      if (page == looked_at) {
        while (end - page >= 64 && EightAreZero(word)) {
          page += 64;
          word += 8;
        }
        looked_at = page + 64;
        if (end - page < 8) break;
      }
      if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0) continue;
      const uint64_t taken = __atomic_exchange_n(word, uint64_t{0}, __ATOMIC_SEQ_CST);
      const unsigned bits = NonZeroBytes(taken);
      found += static_cast<size_t>(std::popcount(bits));
      const unsigned shifted = bits << (page % 8);
      into[page / 8] |= static_cast<uint8_t>(shifted);
      // Only where the group straddles two bytes, whose second then belongs to the bitmap as well.
      if (shifted > 0xff) into[page / 8 + 1] |= static_cast<uint8_t>(shifted >> 8);
      if (writers != nullptr) note(taken);
    }
    while (page < end) take_byte();
  }
  return found;
}

uint64_t CountBits(const uint8_t* bits, uint64_t first, uint64_t count) {
  if (__builtin_cpu_supports("popcnt")) return CountByInstruction(bits, first, count);
  // A processor without POPCNT runs no KVM, but the rest of the library may run on it.
  return CountInline(bits, first, count);
}

RangesEnd BitRanges(const uint8_t* bits, uint64_t first, uint64_t pages, uint64_t address, std::span<double> into,
                    uint64_t at) {
  if (pages == 0) return {at, true};
  const uint64_t end = first + pages;
  const Words words(bits, end);
  const uint64_t last = (end - 1) / 64;
  // Where the last pair ended; a run that starts there continues it. The pair before `at` changes at the very end, when
  // it is certain that everything fits.
  const bool may_merge = at >= 2 && into[at - 2] + into[at - 1] == static_cast<double>(address);
  double merged = 0;
  uint64_t next = at;
  constexpr uint64_t kNone = ~uint64_t{0};
  uint64_t start = kNone;  // of the run that is open
  const auto close = [&](uint64_t stop) {
    const auto size = static_cast<double>((stop - start) * kPageBytes);
    if (start == first && may_merge) {
      merged = size;
    } else {
      if (next + 2 <= into.size()) [[likely]] {
        into[next] = static_cast<double>(address + (start - first) * kPageBytes);
        into[next + 1] = size;
      }
      next += 2;
    }
    start = kNone;
  };
  for (uint64_t index = first / 64; index <= last; ++index) {
    uint64_t word = words[index];
    if (index == first / 64) word &= ~uint64_t{0} << (first % 64);
    if (index == last) word &= LowBits(end - 64 * last);
    const uint64_t base = 64 * index;
    if (start != kNone) {
      if (word == ~uint64_t{0}) continue;
      const auto ones = static_cast<uint64_t>(std::countr_one(word));
      close(base + ones);
      word &= ~uint64_t{0} << ones;
    }
    if (word == 0) {
      index = words.SkipZeros(index + 1, last) - 1;
      continue;
    }
    do {
      const auto low = static_cast<uint64_t>(std::countr_zero(word));
      start = base + low;
      // Adding the lowest bit carries through the run: what is left of it is the clear bit after the run.
      const uint64_t beyond = word + (uint64_t{1} << low);
      if (beyond == 0) break;  // up to the word's end: the next word may continue it
      close(base + static_cast<uint64_t>(std::countr_zero(beyond)));
      word &= beyond;
    } while (word != 0);
  }
  if (start != kNone) close(end);
  if (next > into.size()) return {next, false};
  if (merged != 0) into[at - 1] += merged;
  return {next, true};
}

void DistributeBits(uint8_t* from, std::span<uint8_t* const> to, size_t bytes) {
  const uint64_t end = bytes / 8;
  for (uint64_t index = SkipZeroWords(from, 0, end); index < end; ++index) {
    const size_t at = 8 * index;
    const uint64_t word = LoadWord(from + at);
    if (word == 0) {
      index = SkipZeroWords(from, index + 1, end) - 1;
      continue;
    }
    for (uint8_t* each : to) StoreWord(each + at, LoadWord(each + at) | word);
    StoreWord(from + at, 0);
  }
}

}  // namespace sys
