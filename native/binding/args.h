// Reads and checks the arguments of a native method. The first bad one throws (TypeError or RangeError with a code) and
// makes all later reads return empty values at once, so a method reads everything and then asks failed() once, before
// it does anything.

#ifndef NODE_KVM_BINDING_ARGS_H_
#define NODE_KVM_BINDING_ARGS_H_

#include <napi.h>

#include <span>
#include <string>
#include <vector>

namespace binding {

inline constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;

class Args {
 public:
  explicit Args(const Napi::CallbackInfo& info) : info_(info), env_(info.Env()) {}

  bool failed() const { return failed_; }
  Napi::Env env() const { return env_; }

  /** A number: an integer from `min` to `max`. */
  uint64_t Integer(size_t index, const char* name, uint64_t max = kMaxSafeInteger, uint64_t min = 0);
  uint32_t U32(size_t index, const char* name, uint32_t max = UINT32_MAX) {
    return static_cast<uint32_t>(Integer(index, name, max));
  }
  /** A bigint from 0 to 2^64 - 1. */
  uint64_t BigInt(size_t index, const char* name);
  bool Boolean(size_t index, const char* name);
  std::string String(size_t index, const char* name);
  /** The elements of an array of at most `max_length`. To be read before any span: they may be getters (see BytesList).
   */
  std::vector<napi_value> Elements(size_t index, const char* name, size_t max_length, const char* expected);
  /** An array of at most `max_length` integers from 0 to `max`. */
  std::vector<uint64_t> Integers(size_t index, const char* name, size_t max_length, uint64_t max);

  // SAFETY, for all the spans: they point into JavaScript's memory and are good until this native call returns, because
  // no JavaScript runs meanwhile that could detach it (reading an argument runs none; see Shared()). Other threads may
  // write to shared memory at any time: what is read from a span is read once.
  std::span<uint8_t> Bytes(size_t index, const char* name) {
    return Typed<uint8_t>(index, name, napi_uint8_array, "a Uint8Array");
  }
  std::span<double> F64Array(size_t index, const char* name) {
    return Typed<double>(index, name, napi_float64_array, "a Float64Array");
  }
  /** A Uint16Array of at least `length` elements, or null (then: null). */
  uint16_t* U16ArrayOrNull(size_t index, const char* name, uint64_t length);
  /**
   * An array of at most `max_length` Uint8Arrays. To be read before any other span: the array's elements may be
   * getters, which run code of the caller's.
   */
  std::vector<std::span<uint8_t>> BytesList(size_t index, const char* name, size_t max_length);
  std::span<uint32_t> U32Array(size_t index, const char* name) {
    return Typed<uint32_t>(index, name, napi_uint32_array, "a Uint32Array");
  }
  std::span<uint64_t> U64Array(size_t index, const char* name) {
    return Typed<uint64_t>(index, name, napi_biguint64_array, "a BigUint64Array");
  }
  /** A Uint8Array or a DataView. */
  std::span<uint8_t> View(size_t index, const char* name);
  /** The whole of a SharedArrayBuffer. */
  std::span<uint8_t> Shared(size_t index, const char* name);
  /** A Uint8Array over a SharedArrayBuffer: memory that cannot be detached while somebody holds the array. */
  std::span<uint8_t> SharedBytes(size_t index, const char* name);

  /** Aligned words over a SharedArrayBuffer: a Uint8Array of exactly T's size. Null: it is none, and the arguments have failed. */
  template <typename T>
  T* SharedWords(size_t index, const char* name) {
    const std::span<uint8_t> bytes = SharedBytes(index, name);
    if (failed()) return nullptr;
    // SAFETY: size and alignment are checked; the argument keeps the buffer alive during the call.
    if (AreWords(bytes, name, sizeof(T))) return reinterpret_cast<T*>(bytes.data());
    return nullptr;
  }

  /** The argument itself, undefined where there is none. */
  Napi::Value At(size_t index) const { return info_[index]; }
  /** Whether these are `size` bytes, aligned to 4; fails otherwise. */
  bool AreWords(std::span<uint8_t> bytes, const char* name, size_t size);
  void FailType(const char* name, const char* expected);
  void FailRange(const std::string& message);
  /** ERR_DISPOSED. */
  void FailDisposed(const char* name);
  /** ERR_BUFFER_TOO_SMALL unless `size` is at least `needed`. */
  void NeedSize(const char* name, uint64_t needed, uint64_t size);

 private:
  struct TypedArray {
    napi_typedarray_type type;
    size_t length;
    void* data;
    napi_value buffer;
  };
  bool ReadTyped(napi_value value, const char* name, napi_typedarray_type type, const char* expected, TypedArray& out);

  template <typename T>
  std::span<T> Typed(size_t index, const char* name, napi_typedarray_type type, const char* expected) {
    TypedArray array;
    if (!ReadTyped(At(index), name, type, expected, array)) return {};
    return {static_cast<T*>(array.data), array.length};
  }

  const Napi::CallbackInfo& info_;
  Napi::Env env_;
  bool failed_ = false;
};

/** Whether [offset, offset + length) lies in `size` bytes, without overflow. */
inline bool InBounds(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

}  // namespace binding

#endif  // NODE_KVM_BINDING_ARGS_H_
