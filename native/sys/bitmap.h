// Arithmetic on page marks (a byte per page) and page bitmaps (a bit per page, LSB first). Pure; any thread. Bitmaps
// need no alignment: they are parts of JavaScript's arrays. Zero words are skipped fast, because most pages are clean.

#ifndef NODE_KVM_SYS_BITMAP_H_
#define NODE_KVM_SYS_BITMAP_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace sys {

/** Bytes that hold `bits` bits. */
inline uint64_t BitmapBytes(uint64_t bits) { return bits / 8 + (bits % 8 != 0 ? 1 : 0); }

/** Eight bytes to eight bits: bit i is set where byte i is not zero. */
inline uint8_t NonZeroBytes(uint64_t bytes) {
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  const uint64_t ones = ((((bytes & kLow7) + kLow7) | bytes) & ~kLow7) >> 7;  // 1 in every byte that is not zero
  // The multiplication moves bit 0 of byte i to bit 56 + i; no two of the partial products meet, so nothing carries.
  return static_cast<uint8_t>((ones * 0x0102040810204080) >> 56);
}

/** Where dirty pages go: a bit per page, and, where attribution is on, a code of the writer per page (same index). */
struct PageSink {
  std::span<uint8_t> bits;
  /** Null: nobody wants to know. */
  uint16_t* writers = nullptr;
  uint16_t writer = 0;

  /** The page's bit (and `code`). SAFETY: `page` is within both, which the caller has checked. */
  void Add(uint64_t page, uint16_t code) {
    bits[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
    if (writers != nullptr) writers[page] = code;
  }
};

/**
 * Adds the pages of `words` (bit 0 of the first word = page 0; only the first `pages` bits count) to `sink`, page 0 at
 * bit `first`. Returns how many. SAFETY: the sink holds first + pages bits, which the caller has checked.
 */
size_t OrBits(const PageSink& sink, uint64_t first, const uint64_t* words, uint64_t pages);
/** The same for pages [first, first + pages), all of them. */
void OrRange(const PageSink& sink, uint64_t first, uint64_t pages);

/** Pages per byte of a summary of marks. */
inline constexpr uint64_t kPagesPerSummary = 4096;

/**
 * Takes the marks of `pages` pages, leaves zeros, and ORs a bit per mark into `into` (bit 0 = the first page;
 * ceil(pages / 8) bytes); the mark's value goes to `writers`, unless that is null. Returns how many marks were found.
 * Where a byte of `summary` (one per kPagesPerSummary pages) is zero, the marks are not looked at.
 *
 * Marks are set concurrently, by plain stores of other threads in the order data, mark, summary. The summary is taken
 * before the marks. If it was taken zero although a mark was set, its store comes later, and the next harvest finds the
 * mark; if a mark was set after we looked at it, so was the summary. Either way each mark is in this harvest, and the
 * data is visible to whoever reads it afterwards, or in the next.
 */
size_t TakeMarks(uint8_t* marks, uint8_t* summary, size_t pages, uint8_t* into, uint16_t* writers);

/** Number of bits set among [first, first + count). */
uint64_t CountBits(const uint8_t* bits, uint64_t first, uint64_t count);

/** A page of the guest, bytes. */
inline constexpr uint64_t kPageBytes = 4096;

/** What BitRanges found. */
struct RangesEnd {
  /** Elements of `into` that hold ranges, or would if it were large enough. */
  uint64_t elements;
  bool fits;
};

/**
 * The runs of set bits among [first, first + pages) as pairs (address, bytes) in `into` from index `at` (even) on,
 * ascending; page `first` has the address `address`. A run that adjoins the pair before `at` is merged into it. When
 * `into` is too small, the elements before `at` are as they were.
 */
RangesEnd BitRanges(const uint8_t* bits, uint64_t first, uint64_t pages, uint64_t address, std::span<double> into,
                    uint64_t at);

/** to |= from, for each `to`; then from = 0. All hold `bytes` bytes, a multiple of 8. Words of zero are not written. */
void DistributeBits(uint8_t* from, std::span<uint8_t* const> to, size_t bytes);

}  // namespace sys

#endif  // NODE_KVM_SYS_BITMAP_H_
