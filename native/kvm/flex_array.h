// Storage for the kernel's structs that end in an array: a header, then `count` entries, in one aligned, zeroed block.

#ifndef NODE_KVM_KVM_FLEX_ARRAY_H_
#define NODE_KVM_KVM_FLEX_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvm {

template <typename Header, typename Entry>
class FlexArray {
 public:
  explicit FlexArray(size_t count) : words_((sizeof(Header) + count * sizeof(Entry) + 7) / 8) {
    static_assert(alignof(Header) <= 8 && alignof(Entry) <= 8 && sizeof(Header) % alignof(Entry) == 0);
  }
  // SAFETY: the block is 8-aligned, zeroed and at least sizeof(Header) + count * sizeof(Entry) bytes; both are plain C
  // structs.
  Header* header() { return reinterpret_cast<Header*>(words_.data()); }
  Entry* entries() { return reinterpret_cast<Entry*>(reinterpret_cast<char*>(words_.data()) + sizeof(Header)); }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace kvm

#endif  // NODE_KVM_KVM_FLEX_ARRAY_H_
