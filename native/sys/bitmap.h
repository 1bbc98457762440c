// Arithmetic on page marks (a byte per page) and page bitmaps (a bit per page, LSB first). Pure; any thread.

#ifndef NODE_KVM_SYS_BITMAP_H_
#define NODE_KVM_SYS_BITMAP_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sys {

/** into |= words, as little-endian bytes. `into` holds 8 * count bytes and needs no alignment. */
inline void OrWords(uint8_t* into, const uint64_t* words, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (words[i] == 0) continue;
    uint64_t word;
    memcpy(&word, into + 8 * i, 8);
    word |= words[i];
    memcpy(into + 8 * i, &word, 8);
  }
}

/** Eight bytes to eight bits: bit i is set where byte i is not zero. */
inline uint8_t NonZeroBytes(uint64_t bytes) {
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  const uint64_t ones = ((((bytes & kLow7) + kLow7) | bytes) & ~kLow7) >> 7;  // 1 in every byte that is not zero
  // The multiplication moves bit 0 of byte i to bit 56 + i; no two of the partial products meet, so nothing carries.
  return static_cast<uint8_t>((ones * 0x0102040810204080) >> 56);
}

/**
 * Takes `pages` marks from `marks`, leaves zeros, and ORs a bit per mark into `into` (bit 0 = the first page;
 * ceil(pages / 8) bytes). Returns how many marks were found. Marks are set concurrently by plain byte stores of other
 * threads, after the store of the data that they speak of: each mark is either in this harvest, and the data is visible
 * to whoever reads it afterwards, or in the next.
 */
inline size_t TakeMarks(uint8_t* marks, size_t pages, uint8_t* into) {
  size_t found = 0;
  size_t page = 0;
  const auto take_byte = [&] {
    // Loads first: an exchange takes the cache line from the writers, and most marks are zero.
    if (__atomic_load_n(marks + page, __ATOMIC_RELAXED) != 0 &&
        __atomic_exchange_n(marks + page, uint8_t{0}, __ATOMIC_SEQ_CST) != 0) {
      into[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
      ++found;
    }
    ++page;
  };
  while (page < pages && reinterpret_cast<uintptr_t>(marks + page) % 8 != 0) take_byte();
  for (; pages - page >= 8; page += 8) {
    // SAFETY: aligned by the loop above, and within the marks by the condition. x86 lets bytes and words of the same
    // memory be accessed atomically side by side.
    auto* word = reinterpret_cast<uint64_t*>(marks + page);
    if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0) continue;
    const unsigned bits = NonZeroBytes(__atomic_exchange_n(word, uint64_t{0}, __ATOMIC_SEQ_CST));
    found += static_cast<size_t>(std::popcount(bits));
    const unsigned shifted = bits << (page % 8);
    into[page / 8] |= static_cast<uint8_t>(shifted);
    // Only where the group straddles two bytes, whose second then belongs to the bitmap as well.
    if (shifted > 0xff) into[page / 8 + 1] |= static_cast<uint8_t>(shifted >> 8);
  }
  while (page < pages) take_byte();
  return found;
}

}  // namespace sys

#endif  // NODE_KVM_SYS_BITMAP_H_
