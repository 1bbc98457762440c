// Marks and bitmaps, each beside a model that goes page by page; and marks that are taken while threads set them.

#include "sys/bitmap.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "test/check.h"

namespace {

using Bytes = std::vector<uint8_t>;

bool Has(const Bytes& bits, uint64_t page) { return (bits[page / 8] >> (page % 8) & 1) == 1; }

/** A bitmap of exactly `bits` bits, on the heap, where ASan sees a byte too many: runs and holes of random lengths. */
Bytes RandomBits(std::mt19937_64& random, uint64_t bits) {
  Bytes bytes(sys::BitmapBytes(bits));
  const uint64_t longest = uint64_t{1} << (random() % 11);
  bool set = random() % 2 == 0;
  for (uint64_t page = 0; page < bits; set = !set) {
    for (uint64_t left = 1 + random() % longest; left > 0 && page < bits; --left, ++page) {
      if (set) bytes[page / 8] |= static_cast<uint8_t>(1u << (page % 8));
    }
  }
  return bytes;
}

TEST(CompressesMarks, "eight bytes to eight bits, whatever their values") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    uint8_t bytes[8];
    unsigned expected = 0;
    for (int i = 0; i < 8; ++i) {
      bytes[i] = random() % 3 == 0 ? 0 : static_cast<uint8_t>(random());
      if (bytes[i] != 0) expected |= 1u << i;
    }
    uint64_t word;
    memcpy(&word, bytes, 8);
    CHECK(sys::NonZeroBytes(word) == expected);
  }
}

TEST(TakesMarksAsAModelDoes, "marks are taken as a naive model takes them, at every alignment and length") {
  alignas(8) uint8_t marks[96];
  for (size_t first = 0; first < 9; ++first) {
    for (size_t pages = 0; pages + first <= 80; ++pages) {
      Bytes into((pages + 7) / 8);
      if (!into.empty()) into[0] = 0x80;  // what is there stays
      Bytes expected = into;
      std::vector<uint16_t> writers(pages, 0xffff);
      std::vector<uint16_t> expected_writers = writers;
      size_t count = 0;
      const auto mark_of = [&](size_t i) { return (i * 7 + pages + first) % 3 == 0 ? static_cast<uint8_t>(i + 1) : 0; };
      for (size_t i = 0; i < sizeof(marks); ++i) marks[i] = static_cast<uint8_t>(mark_of(i));
      for (size_t i = 0; i < pages; ++i) {
        if (marks[first + i] == 0) continue;
        expected[i / 8] |= static_cast<uint8_t>(1u << (i % 8));
        expected_writers[i] = marks[first + i];
        ++count;
      }
      uint8_t summary = 1;
      uint16_t* const noted = pages % 2 == 0 ? writers.data() : nullptr;
      CHECK(sys::TakeMarks(marks + first, &summary, pages, into.data(), noted) == count);
      CHECK(into == expected && (noted == nullptr || writers == expected_writers));
      CHECK(summary == (pages == 0 ? 1 : 0));
      for (size_t i = 0; i < sizeof(marks); ++i) {
        const bool inside = i >= first && i < first + pages;
        CHECK(marks[i] == (inside ? 0 : mark_of(i)));
      }
    }
  }
}

TEST(SummaryGuardsMarks, "marks are looked at where the summary is set, and only there") {
  constexpr size_t kPages = 4 * sys::kPagesPerSummary + 11;
  Bytes marks(kPages, 1);
  Bytes summary{0, 1, 0, 0, 1};
  Bytes into(sys::BitmapBytes(kPages));
  CHECK(sys::TakeMarks(marks.data(), summary.data(), kPages, into.data(), nullptr) == sys::kPagesPerSummary + 11);
  CHECK(std::count(summary.begin(), summary.end(), 0) == 5);
  for (size_t page = 0; page < kPages; ++page) {
    const bool taken = page / sys::kPagesPerSummary == 1 || page / sys::kPagesPerSummary == 4;
    CHECK(Has(into, page) == taken && marks[page] == (taken ? 0 : 1));
  }
}

TEST(LosesNoMark, "data, mark, summary: what writers store while marks are taken is in this harvest or in the next") {
  constexpr size_t kPages = 2 * sys::kPagesPerSummary + 3;
  constexpr unsigned kWriters = 2;
  constexpr uint32_t kRounds = 8;
  Bytes marks(kPages);
  Bytes summary(3);
  // Each writer has its own data; a page's data must be seen, at the latest, when the last mark of it is taken.
  std::vector<uint32_t> data[kWriters] = {std::vector<uint32_t>(kPages), std::vector<uint32_t>(kPages)};
  std::vector<uint32_t> copy[kWriters] = {std::vector<uint32_t>(kPages), std::vector<uint32_t>(kPages)};
  std::atomic<unsigned> done{0};
  std::vector<std::thread> threads;
  for (unsigned index = 0; index < kWriters; ++index) {
    threads.emplace_back([&, index] {
      for (uint32_t round = 1; round <= kRounds; ++round) {
        for (size_t i = 0; i < kPages; ++i) {
          const size_t page = index == 0 ? i : kPages - 1 - i;
          // Release stores are plain stores on x86, as JavaScript's are; they keep the compiler from moving them.
          __atomic_store_n(&data[index][page], round, __ATOMIC_RELEASE);
          __atomic_store_n(&marks[page], static_cast<uint8_t>(index + 1), __ATOMIC_RELEASE);
          __atomic_store_n(&summary[page / sys::kPagesPerSummary], uint8_t{1}, __ATOMIC_RELEASE);
          if (i % 512 == 0) std::this_thread::yield();
        }
      }
      ++done;
    });
  }
  std::vector<uint16_t> writers(kPages);
  for (bool last = false; !last;) {
    last = done == kWriters;
    Bytes bitmap(sys::BitmapBytes(kPages));
    sys::TakeMarks(marks.data(), summary.data(), kPages, bitmap.data(), writers.data());
    for (size_t page = 0; page < kPages; ++page) {
      if (!Has(bitmap, page)) continue;
      for (unsigned index = 0; index < kWriters; ++index)
        copy[index][page] = __atomic_load_n(&data[index][page], __ATOMIC_ACQUIRE);
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (unsigned index = 0; index < kWriters; ++index) CHECK(copy[index] == data[index]);
  for (const uint16_t writer : writers) CHECK(writer == 1 || writer == 2);
}

TEST(OrsBits, "a log is ORed at any bit, and nothing beyond its pages is touched") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 3'000; ++round) {
    const uint64_t first = random() % 150;
    const uint64_t pages = 1 + random() % 400;
    const Bytes log = RandomBits(random, pages);
    std::vector<uint64_t> words((pages + 63) / 64, round % 2 == 0 ? 0 : ~uint64_t{0});  // junk after the last page
    memcpy(words.data(), log.data(), log.size());
    Bytes into = RandomBits(random, first + pages);
    std::vector<uint16_t> writers(first + pages);
    Bytes expected = into;
    size_t count = 0;
    for (uint64_t page = 0; page < pages; ++page) {
      if (!Has(log, page)) continue;
      ++count;
      expected[(first + page) / 8] |= static_cast<uint8_t>(1u << ((first + page) % 8));
    }
    if (pages % 8 != 0 && round % 2 == 1) words[pages / 64] |= ~uint64_t{0} << (pages % 64);
    CHECK(sys::OrBits({into, writers.data(), 77}, first, words.data(), pages) == count);
    CHECK(into == expected);
    for (uint64_t page = 0; page < pages; ++page) CHECK(writers[first + page] == (Has(log, page) ? 77 : 0));
    for (uint64_t page = 0; page < first; ++page) CHECK(writers[page] == 0);
  }
}

TEST(OrsRanges, "a range of pages is set at any bit, and nothing beside it") {
  for (uint64_t first = 0; first < 20; ++first) {
    for (uint64_t pages = 0; pages < 90; ++pages) {
      Bytes into(sys::BitmapBytes(first + pages) + 1);
      std::vector<uint16_t> writers(first + pages + 1);
      sys::OrRange({into, writers.data(), 5}, first, pages);
      for (uint64_t page = 0; page < first + pages + 1; ++page) {
        const bool inside = page >= first && page < first + pages;
        CHECK(Has(into, page) == inside && writers[page] == (inside ? 5 : 0));
      }
    }
  }
}

TEST(CountsBits, "bits are counted as a model counts them") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2'000; ++round) {
    const uint64_t first = random() % 300;
    const uint64_t count = random() % 1500;
    const Bytes bits = RandomBits(random, first + count);
    uint64_t expected = 0;
    for (uint64_t page = first; page < first + count; ++page) expected += Has(bits, page) ? 1 : 0;
    CHECK(sys::CountBits(bits.data(), first, count) == expected);
  }
}

/** The pairs that a page-by-page walk finds, after `before`. */
std::vector<double> ModelRanges(const Bytes& bits, uint64_t first, uint64_t pages, uint64_t address,
                                std::vector<double> before) {
  for (uint64_t page = first; page < first + pages; ++page) {
    if (!Has(bits, page)) continue;
    const auto at = static_cast<double>(address + (page - first) * sys::kPageBytes);
    if (before.size() >= 2 && before[before.size() - 2] + before.back() == at) {
      before.back() += sys::kPageBytes;
    } else {
      before.push_back(at);
      before.push_back(sys::kPageBytes);
    }
  }
  return before;
}

TEST(FindsRanges,
     "runs are found as a model finds them, merged with the pair before, and counted where they don't fit") {
  std::mt19937_64 random(4);
  for (int round = 0; round < 5'000; ++round) {
    const uint64_t first = random() % 200;
    const uint64_t pages = random() % 1200;
    const Bytes bits = RandomBits(random, first + pages);
    const uint64_t address = uint64_t{0x1'0000'0000} + random() % 64 * sys::kPageBytes;
    std::vector<double> before;
    if (round % 3 != 0) before = {4096, 8192};
    if (round % 3 == 2) before.insert(before.end(), {static_cast<double>(address - 4096), 4096});  // adjoins
    const std::vector<double> expected = ModelRanges(bits, first, pages, address, before);

    std::vector<double> into = before;
    into.resize(expected.size(), -1);
    const sys::RangesEnd exact = sys::BitRanges(bits.data(), first, pages, address, into, before.size());
    CHECK(exact.fits && exact.elements == expected.size() && into == expected);

    if (expected.size() == before.size()) continue;
    std::vector<double> small = before;
    small.resize(before.size() + random() % (expected.size() - before.size()), -1);
    const sys::RangesEnd more = sys::BitRanges(bits.data(), first, pages, address, small, before.size());
    CHECK(!more.fits && more.elements == expected.size());
    CHECK(std::equal(before.begin(), before.end(), small.begin()));
  }
}

TEST(DistributesBits, "bits go to every target and leave their source") {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    const uint64_t bits = 64 * (1 + random() % 20);
    const Bytes given = RandomBits(random, bits);
    Bytes from = given;
    std::vector<Bytes> to;
    for (int i = 0; i < round % 4; ++i) to.push_back(RandomBits(random, bits));
    std::vector<Bytes> expected = to;
    for (Bytes& each : expected) {
      for (size_t i = 0; i < each.size(); ++i) each[i] |= given[i];
    }
    std::vector<uint8_t*> targets;
    for (Bytes& each : to) targets.push_back(each.data());
    sys::DistributeBits(from.data(), targets, from.size());
    CHECK(to == expected && std::count(from.begin(), from.end(), 0) == static_cast<ptrdiff_t>(from.size()));
  }
}

}  // namespace
