// mapMemory, wrapExternal, addressOf, prefault, discard, fill, copy: bounds are checked here, work is done in sys/.

#include "binding/memory.h"

#include <algorithm>
#include <cstring>

#include "binding/args.h"
#include "binding/errors.h"
#include "binding/shared_buffer.h"
#include "binding/values.h"
#include "sys/discard.h"
#include "sys/mapping.h"
#include "sys/prefault.h"
#include "sys/proc_maps.h"

namespace binding {
namespace {

template <typename T>
struct Choice {
  const char* name;
  T value;
};
constexpr Choice<sys::MapKind> kKinds[] = {
    {"anonymous", sys::MapKind::kAnonymous},
    {"memfd", sys::MapKind::kMemfd},
    {"file", sys::MapKind::kFile},
};
constexpr Choice<sys::HugePages> kHugePages[] = {
    {"none", sys::HugePages::kNone},
    {"thp", sys::HugePages::kTransparent},
    {"2M", sys::HugePages::k2M},
    {"1G", sys::HugePages::k1G},
};

/** Reads the properties of a MapSpec object. The first bad one throws; ok() is then false. */
class SpecReader {
 public:
  SpecReader(Napi::Env env, napi_value object) : env_(env), object_(object) {}
  bool ok() const { return ok_; }

  std::string Text(const char* key) {
    napi_value value = Get(key, napi_string, "a string");
    if (value == nullptr) return {};
    std::string text = Napi::String(env_, value).Utf8Value();
    if (text.find('\0') != std::string::npos) Fail(ThrowRange, std::string(key) + " must not contain a NUL character");
    return text;
  }

  uint64_t Integer(const char* key) {
    napi_value value = Get(key, napi_number, "a number");
    double number = 0;
    if (value == nullptr || napi_get_value_double(env_, value, &number) != napi_ok) return 0;
    if (!(number >= 0 && number <= static_cast<double>(kMaxSafeInteger)) ||
        number != static_cast<double>(static_cast<uint64_t>(number))) {
      Fail(ThrowRange, std::string(key) + " must be an integer from 0 to 2^53 - 1");
      return 0;
    }
    return static_cast<uint64_t>(number);
  }

  bool Boolean(const char* key) {
    napi_value value = Get(key, napi_boolean, "a boolean");
    bool flag = false;
    if (value != nullptr) napi_get_value_bool(env_, value, &flag);
    return flag;
  }

  template <typename T, size_t N>
  T OneOf(const char* key, const Choice<T> (&choices)[N]) {
    const std::string text = Text(key);
    if (!ok_ || text.empty()) return choices[0].value;
    for (const Choice<T>& choice : choices) {
      if (text == choice.name) return choice.value;
    }
    Fail(ThrowRange, std::string(key) + " has no value '" + text + "'");
    return choices[0].value;
  }

 private:
  /** Null when the property is absent (undefined) or something failed. */
  napi_value Get(const char* key, napi_valuetype expected, const char* shown) {
    if (!ok_) return nullptr;
    napi_value value = nullptr;
    napi_valuetype type = napi_undefined;
    if (napi_get_named_property(env_, object_, key, &value) != napi_ok || napi_typeof(env_, value, &type) != napi_ok) {
      ok_ = false;  // a getter has thrown, or the thread terminates
      return nullptr;
    }
    if (type == napi_undefined) return nullptr;
    if (type != expected) {
      Fail(ThrowType, std::string(key) + " must be " + shown);
      return nullptr;
    }
    return value;
  }

  void Fail(Napi::Value (*thrower)(Napi::Env, const std::string&), const std::string& message) {
    if (!ok_) return;
    ok_ = false;
    thrower(env_, message);
  }

  Napi::Env env_;
  napi_value object_;
  bool ok_ = true;
};

std::string OutOfBounds(const char* what, uint64_t offset, uint64_t length, uint64_t size) {
  return std::string(what) + ": " + Hex(length) + " bytes at " + Hex(offset) + " do not lie in " + Hex(size) + " bytes";
}

// Tells V8 how much hangs on a buffer, until the buffer is collected: V8 does not count shared memory by itself.
void CountAsExternal(Napi::Env env, napi_value buffer, size_t size) {
  int64_t total = 0;
  const auto uncount = [](napi_env finalizing, void*, void* hint) {
    int64_t left = 0;
    napi_adjust_external_memory(finalizing, -static_cast<int64_t>(reinterpret_cast<uintptr_t>(hint)), &left);
  };
  // SAFETY: the hint is the number itself, never followed as a pointer.
  void* hint = reinterpret_cast<void*>(static_cast<uintptr_t>(size));
  if (napi_add_finalizer(env, buffer, nullptr, uncount, hint, nullptr) != napi_ok) return;
  napi_adjust_external_memory(env, static_cast<int64_t>(size), &total);
}

// Memory in use is counted for little, because V8 answers every few dozen megabytes with a collection that would free nothing;
// enough that memories which somebody forgot to dispose of are noticed. Garbage is counted as what is resident of it, up to a
// bound: V8 answers gigabytes at once with a full collection there and then.
constexpr size_t kMostCountedInUse = size_t{1} << 20;
constexpr size_t kMostCountedAsGarbage = size_t{512} << 20;

}  // namespace

Napi::Value MapMemory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) return ThrowType(env, "spec must be an object");
  SpecReader reader(env, info[0]);
  sys::MapSpec spec;
  spec.size = reader.Integer("size");
  spec.kind = reader.OneOf("kind", kKinds);
  spec.huge_pages = reader.OneOf("hugePages", kHugePages);
  spec.path = reader.Text("path");
  spec.shared = reader.Boolean("shared");
  spec.file_offset = reader.Integer("fileOffset");
  spec.name = reader.Text("name");
  if (!reader.ok()) return {};
  const size_t unit = sys::RequiredAlignment(spec.huge_pages);
  if (spec.size == 0 || spec.size % unit != 0) {
    return ThrowRange(env, "size must be a positive multiple of " + Hex(unit) + ", got " + Hex(spec.size));
  }
  if (spec.file_offset % sys::PageSize() != 0) {
    return ThrowRange(env,
                      "fileOffset must be a multiple of " + Hex(sys::PageSize()) + ", got " + Hex(spec.file_offset));
  }

  auto mapped = sys::Mapping::Create(spec);
  if (!mapped.ok()) {
    return ThrowSyscall(env, mapped.error(), Hex(spec.size) + " bytes" + (spec.path.empty() ? "" : " of " + spec.path));
  }
  const auto address = reinterpret_cast<uintptr_t>(mapped.value().data());
  const Napi::Value buffer = NewSharedBuffer(env, std::make_shared<sys::Mapping>(std::move(mapped.value())));
  if (buffer.IsEmpty()) return {};
  CountAsExternal(env, buffer, std::min(spec.size, kMostCountedInUse));
  napi_value result = nullptr;
  if (napi_create_object(env, &result) != napi_ok) return {};
  napi_set_named_property(env, result, "buffer", buffer);
  napi_set_named_property(env, result, "hostAddr", BigUint(env, address));
  return {env, result};
}

Napi::Value WrapExternal(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint64_t address = args.BigInt(0, "hostAddr");
  const uint64_t size = args.Integer(1, "size", kMaxSafeInteger, 1);
  const bool writable = args.Boolean(2, "writable");
  if (args.failed()) return {};
  auto mapped = sys::IsMapped(address, size, writable);
  if (!mapped.ok()) return ThrowSyscall(info.Env(), mapped.error(), "/proc/self/maps");
  if (!mapped.value()) {
    return ThrowRange(info.Env(), Hex(size) + " bytes at host address " + Hex(address) + " are not all mapped " +
                                      (writable ? "for reading and writing" : "for reading"));
  }
  // SAFETY: mapped now; that it stays so is the caller's promise, as wrapExternal documents.
  return NewBorrowedBuffer(info.Env(), reinterpret_cast<void*>(address), size);
}

Napi::Value CountGarbage(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> memory = args.Shared(0, "buffer");
  if (args.failed()) return {};
  const size_t resident = sys::ResidentBytes(memory.data(), memory.size(), kMostCountedAsGarbage);
  if (resident > 0) CountAsExternal(info.Env(), info[0], resident);
  return info.Env().Undefined();
}

Napi::Value AddressOf(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> memory = args.Shared(0, "buffer");
  if (args.failed()) return {};
  return BigUint(info.Env(), reinterpret_cast<uintptr_t>(memory.data()));
}

Napi::Value Prefault(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> memory = args.Shared(0, "buffer");
  const uint64_t offset = args.Integer(1, "offset");
  const uint64_t length = args.Integer(2, "length");
  const uint32_t threads = static_cast<uint32_t>(args.Integer(3, "threads", 256, 1));
  if (args.failed()) return {};
  if (!InBounds(offset, length, memory.size()))
    return ThrowRange(info.Env(), OutOfBounds("prefault", offset, length, memory.size()));
  // Whole pages: EINVAL from the kernel otherwise.
  return UndefinedOrThrow(info.Env(), sys::Prefault(memory.data() + offset, length, threads));
}

Napi::Value Discard(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> memory = args.Shared(0, "buffer");
  const uint64_t offset = args.Integer(1, "offset");
  const uint64_t length = args.Integer(2, "length");
  const bool shared = args.Boolean(3, "shared");
  if (args.failed()) return {};
  if (!InBounds(offset, length, memory.size()))
    return ThrowRange(info.Env(), OutOfBounds("discard", offset, length, memory.size()));
  // The kernel would round the length up, beyond what was checked.
  if (offset % sys::PageSize() != 0 || length % sys::PageSize() != 0)
    return ThrowRange(info.Env(), "discard: " + Hex(length) + " bytes at " + Hex(offset) + " are not whole pages");
  return UndefinedOrThrow(info.Env(), sys::Discard(memory.data() + offset, length, shared));
}

Napi::Value Fill(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> view = args.View(0, "view");
  const uint64_t offset = args.Integer(1, "offset");
  const uint64_t length = args.Integer(2, "length");
  const uint32_t value = args.U32(3, "value", 255);
  if (args.failed()) return {};
  if (!InBounds(offset, length, view.size()))
    return ThrowRange(info.Env(), OutOfBounds("fill", offset, length, view.size()));
  // SAFETY: in bounds. Other threads and the guest may access the bytes meanwhile: they see old or new ones.
  if (length > 0) memset(view.data() + offset, static_cast<int>(value), length);
  return info.Env().Undefined();
}

Napi::Value Copy(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> to = args.View(0, "to");
  const uint64_t to_offset = args.Integer(1, "toOffset");
  const std::span<uint8_t> from = args.View(2, "from");
  const uint64_t from_offset = args.Integer(3, "fromOffset");
  const uint64_t length = args.Integer(4, "length");
  if (args.failed()) return {};
  if (!InBounds(to_offset, length, to.size()))
    return ThrowRange(info.Env(), OutOfBounds("copy to", to_offset, length, to.size()));
  if (!InBounds(from_offset, length, from.size())) {
    return ThrowRange(info.Env(), OutOfBounds("copy from", from_offset, length, from.size()));
  }
  // SAFETY: in bounds; memmove, because both may be views of one buffer. Concurrent access as in Fill.
  if (length > 0) memmove(to.data() + to_offset, from.data() + from_offset, length);
  return info.Env().Undefined();
}

}  // namespace binding
