// Checks and conversions of arguments, on raw Node-API where node-addon-api would throw without a code.

#include "binding/args.h"

#include <cmath>

#include "binding/addon_data.h"
#include "binding/errors.h"

namespace binding {
namespace {

napi_valuetype TypeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

}  // namespace

void Args::FailType(const char* name, const char* expected) {
  if (failed_) return;
  failed_ = true;
  ThrowType(env_, std::string(name) + " must be " + expected);
}

void Args::FailRange(const std::string& message) {
  if (failed_) return;
  failed_ = true;
  ThrowRange(env_, message);
}

bool Args::AreWords(std::span<uint8_t> bytes, const char* name, size_t size) {
  if (bytes.size() == size && reinterpret_cast<uintptr_t>(bytes.data()) % alignof(uint32_t) == 0) return true;
  FailRange(std::string(name) + " must be words of " + std::to_string(size) + " bytes, aligned");
  return false;
}

void Args::FailDisposed(const char* name) {
  if (failed_) return;
  failed_ = true;
  ThrowDisposed(env_, name);
}

uint64_t Args::Integer(size_t index, const char* name, uint64_t max, uint64_t min) {
  if (failed_) return 0;
  double value = 0;
  if (napi_get_value_double(env_, At(index), &value) != napi_ok) {
    FailType(name, "a number");
    return 0;
  }
  // The comparisons are false for NaN. Both limits are at most 2^53 - 1, so the conversions are exact.
  if (!(value >= static_cast<double>(min) && value <= static_cast<double>(max)) || value != std::trunc(value)) {
    char shown[32];
    snprintf(shown, sizeof(shown), "%.17g", value);
    FailRange(std::string(name) + " must be an integer from " + std::to_string(min) + " to " + Hex(max) + ", got " +
              shown);
    return 0;
  }
  return static_cast<uint64_t>(value);
}

uint64_t Args::BigInt(size_t index, const char* name) {
  if (failed_) return 0;
  uint64_t value = 0;
  bool lossless = false;
  if (napi_get_value_bigint_uint64(env_, At(index), &value, &lossless) != napi_ok) {
    FailType(name, "a bigint");
    return 0;
  }
  if (!lossless) {
    FailRange(std::string(name) + " must be from 0 to 2^64 - 1");
    return 0;
  }
  return value;
}

bool Args::Boolean(size_t index, const char* name) {
  if (failed_) return false;
  bool value = false;
  if (napi_get_value_bool(env_, At(index), &value) != napi_ok) FailType(name, "a boolean");
  return value;
}

std::string Args::String(size_t index, const char* name) {
  if (failed_) return {};
  if (TypeOf(env_, At(index)) != napi_string) {
    FailType(name, "a string");
    return {};
  }
  std::string text = At(index).As<Napi::String>().Utf8Value();
  // It ends up in a system call, where a NUL would silently cut it short.
  if (text.find('\0') != std::string::npos) {
    FailRange(std::string(name) + " must not contain a NUL character");
    return {};
  }
  return text;
}

std::vector<uint64_t> Args::Integers(size_t index, const char* name, size_t max_length, uint64_t max) {
  std::vector<uint64_t> values;
  for (const napi_value element : Elements(index, name, max_length, "an array of numbers")) {
    double value = 0;
    if (napi_get_value_double(env_, element, &value) != napi_ok) {
      FailType(name, "an array of numbers");
      return {};
    }
    if (!(value >= 0 && value <= static_cast<double>(max)) || value != std::trunc(value)) {
      FailRange(std::string("every element of ") + name + " must be an integer from 0 to " + Hex(max));
      return {};
    }
    values.push_back(static_cast<uint64_t>(value));
  }
  return values;
}

void Args::NeedSize(const char* name, uint64_t needed, uint64_t size) {
  if (failed_ || size >= needed) return;
  failed_ = true;
  ThrowCoded(env_, "ERR_BUFFER_TOO_SMALL", std::string(name) + " needs " + Hex(needed) + " elements, got " + Hex(size));
}

uint16_t* Args::U16ArrayOrNull(size_t index, const char* name, uint64_t length) {
  if (failed_ || TypeOf(env_, At(index)) == napi_null) return nullptr;
  const std::span<uint16_t> array = Typed<uint16_t>(index, name, napi_uint16_array, "a Uint16Array or null");
  NeedSize(name, length, array.size());
  return failed_ ? nullptr : array.data();
}

std::vector<napi_value> Args::Elements(size_t index, const char* name, size_t max_length, const char* expected) {
  if (failed_) return {};
  bool is_array = false;
  uint32_t length = 0;
  if (napi_is_array(env_, At(index), &is_array) != napi_ok || !is_array ||
      napi_get_array_length(env_, At(index), &length) != napi_ok) {
    FailType(name, expected);
    return {};
  }
  if (length > max_length) {
    FailRange(std::string(name) + " must have at most " + std::to_string(max_length) + " elements, got " +
              std::to_string(length));
    return {};
  }
  std::vector<napi_value> elements(length);
  for (uint32_t i = 0; i < length; ++i) {
    if (napi_get_element(env_, At(index), i, &elements[i]) == napi_ok) continue;
    FailType(name, expected);
    return {};
  }
  return elements;
}

std::vector<std::span<uint8_t>> Args::BytesList(size_t index, const char* name, size_t max_length) {
  constexpr const char* kExpected = "an array of Uint8Arrays";
  const std::vector<napi_value> elements = Elements(index, name, max_length, kExpected);
  // Only now, when no getter can detach anything any more.
  std::vector<std::span<uint8_t>> arrays;
  for (const napi_value element : elements) {
    TypedArray array;
    if (!ReadTyped(element, name, napi_uint8_array, kExpected, array)) return {};
    arrays.emplace_back(static_cast<uint8_t*>(array.data), array.length);
  }
  return arrays;
}

bool Args::ReadTyped(napi_value value, const char* name, napi_typedarray_type type, const char* expected,
                     TypedArray& out) {
  if (failed_) return false;
  bool is_typed = false;
  size_t offset = 0;
  if (napi_is_typedarray(env_, value, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env_, value, &out.type, &out.length, &out.data, &out.buffer, &offset) != napi_ok ||
      out.type != type) {
    FailType(name, expected);
    return false;
  }
  return true;
}

std::span<uint8_t> Args::View(size_t index, const char* name) {
  if (failed_) return {};
  bool is_view = false;
  if (napi_is_dataview(env_, At(index), &is_view) == napi_ok && is_view) {
    size_t length = 0, offset = 0;
    void* data = nullptr;
    napi_value buffer = nullptr;
    if (napi_get_dataview_info(env_, At(index), &length, &data, &buffer, &offset) == napi_ok) {
      return {static_cast<uint8_t*>(data), length};
    }
  }
  return Typed<uint8_t>(index, name, napi_uint8_array, "a Uint8Array or a DataView");
}

std::span<uint8_t> Args::Shared(size_t index, const char* name) {
  if (failed_) return {};
  // Node-API of Node 20 does not know SharedArrayBuffer. The DataView constructor takes nothing but the two kinds of
  // buffer (by internal slot, so proxies and look-alikes are refused, and it runs no code of the caller's), and the
  // other kind is excluded.
  bool is_plain = false;
  napi_value view = nullptr;
  if (TypeOf(env_, At(index)) == napi_object && napi_is_arraybuffer(env_, At(index), &is_plain) == napi_ok &&
      !is_plain) {
    const napi_value argument = At(index);
    size_t length = 0, offset = 0;
    void* data = nullptr;
    napi_value buffer = nullptr;
    if (napi_new_instance(env_, AddonData::Of(env_).data_view.Value(), 1, &argument, &view) == napi_ok &&
        napi_get_dataview_info(env_, view, &length, &data, &buffer, &offset) == napi_ok) {
      return {static_cast<uint8_t*>(data), length};
    }
    napi_value pending = nullptr;
    napi_get_and_clear_last_exception(env_, &pending);
  }
  FailType(name, "a SharedArrayBuffer");
  return {};
}

std::span<uint8_t> Args::SharedBytes(size_t index, const char* name) {
  constexpr const char* kExpected = "a Uint8Array over a SharedArrayBuffer";
  TypedArray array;
  if (!ReadTyped(At(index), name, napi_uint8_array, kExpected, array)) return {};
  bool is_plain = true;
  if (napi_is_arraybuffer(env_, array.buffer, &is_plain) != napi_ok || is_plain) {
    FailType(name, kExpected);
    return {};
  }
  return {static_cast<uint8_t*>(array.data), array.length};
}

}  // namespace binding
