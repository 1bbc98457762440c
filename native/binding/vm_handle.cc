// The methods of a NativeVm, and the references that its slots hold.

#include "binding/vm_handle.h"

#include <bit>

#include "binding/args.h"
#include "binding/event_fd_handle.h"
#include "binding/handle.h"
#include "binding/values.h"
#include "sys/bitmap.h"

namespace binding {
namespace {

Napi::Value ThrowNoRings(Napi::Env env) {
  return ThrowCoded(env, "ERR_DIRTY_SOURCE",
                    "the VM has no dirty rings: enableDirtyRing() comes before its first vCPU");
}

/** What (de)assignIoEventFd() is called with. */
struct IoEventArguments {
  kvm::IoWrites writes;
  std::shared_ptr<sys::EventFd> event;
};

/** (space, address, length, match, event), checked as far as the kernel does not: it takes writes that no guest can
 * make. */
IoEventArguments ReadIoEvent(Args& args) {
  IoEventArguments read;
  kvm::IoWrites& writes = read.writes;
  const std::string space = args.String(0, "space");
  writes.is_port = space == "pio";
  if (!writes.is_port && space != "mmio") args.FailRange("space must be 'pio' or 'mmio', got '" + space + "'");
  writes.address = args.Integer(1, "address");
  writes.length = args.U32(2, "length", 8);
  if (!std::has_single_bit(writes.length) && writes.length != 0)
    args.FailRange("length must be 0, 1, 2, 4 or 8, got " + std::to_string(writes.length));
  if (writes.is_port &&
      (writes.length == 8 || !InBounds(writes.address, writes.length, 0x10000) || writes.address > 0xffff))
    args.FailRange("no port is at " + Hex(writes.address) + " with length " + std::to_string(writes.length));
  if (!args.At(3).IsNull()) {
    writes.match = args.BigInt(3, "match");
    if (writes.length == 0) args.FailRange("a match needs a length");
    if (writes.length < 8 && *writes.match >> (8 * writes.length) != 0)
      args.FailRange("match must fit into " + std::to_string(writes.length) + " bytes, got " + Hex(*writes.match));
  }
  read.event = EventFdHandle::Argument(args, 4, "event");
  return read;
}

std::string Describe(const kvm::IoWrites& writes) {
  return std::string(writes.is_port ? "port " : "address ") + Hex(writes.address) + ", length " +
         std::to_string(writes.length) + (writes.match.has_value() ? ", value " + Hex(*writes.match) : "");
}

}  // namespace

Napi::ObjectReference VmHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {
                               Getter<&VmHandle::Fd>("fd"),
                               Method<&VmHandle::CheckExtension>("checkExtension"),
                               Method<&VmHandle::EnableCap>("enableCap"),
                               Method<&VmHandle::SetMemoryRegion>("setMemoryRegion"),
                               Method<&VmHandle::OrDirtyLog>("orDirtyLog"),
                               Method<&VmHandle::SetManualLog>("setManualLog"),
                               Method<&VmHandle::ClearDirtyLog>("clearDirtyLog"),
                               Method<&VmHandle::EnableDirtyRing>("enableDirtyRing"),
                               Method<&VmHandle::CollectRings>("collectRings"),
                               Method<&VmHandle::RingCounters>("ringCounters"),
                               Method<&VmHandle::CreateIrqchip>("createIrqchip"),
                               Method<&VmHandle::SplitIrqchip>("splitIrqchip"),
                               Method<&VmHandle::SetMsiRoutes>("setMsiRoutes"),
                               Method<&VmHandle::SignalMsi>("signalMsi"),
                               Method<&VmHandle::CreatePit>("createPit"),
                               Method<&VmHandle::SetTssAddr>("setTssAddr"),
                               Method<&VmHandle::SetIdentityMapAddr>("setIdentityMapAddr"),
                               Method<&VmHandle::IrqLine>("irqLine"),
                               Method<&VmHandle::AssignIoEventFd>("assignIoEventFd"),
                               Method<&VmHandle::DeassignIoEventFd>("deassignIoEventFd"),
                               Method<&VmHandle::AssignIrqFd>("assignIrqFd"),
                               Method<&VmHandle::DeassignIrqFd>("deassignIrqFd"),
                               Method<&VmHandle::Close>("close"),
                           });
}

Napi::Value VmHandle::New(Napi::Env env, kvm::Vm vm) {
  return NewHandle(env, AddonData::Of(env).vm_prototype, std::make_unique<VmHandle>(std::move(vm)));
}

Napi::Value VmHandle::Attach(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t fd = args.U32(0, "fd", INT32_MAX);
  if (args.failed()) return {};
  auto vm = kvm::Vm::Attach(static_cast<int>(fd));
  if (!vm.ok()) return ThrowNotAVm(info.Env(), vm.error(), fd);
  return New(info.Env(), std::move(vm.value()));
}

Napi::Value VmHandle::Fd(const Napi::CallbackInfo& info) {
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return Number(info.Env(), vm_.fd());
}

Napi::Value VmHandle::CheckExtension(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t cap = args.U32(0, "cap");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return NumberOrThrow(info.Env(), vm_.CheckExtension(cap));
}

Napi::Value VmHandle::EnableCap(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t cap = args.U32(0, "cap");
  const std::vector<uint64_t> values = args.Integers(1, "args", 4, kMaxSafeInteger);
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  uint64_t four[4] = {};
  for (size_t i = 0; i < values.size(); ++i) four[i] = values[i];
  return UndefinedOrThrow(info.Env(), vm_.EnableCap(cap, four));
}

Napi::Value VmHandle::SetMemoryRegion(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t id = args.U32(0, "slot");
  kvm::Slot slot;
  slot.flags = args.U32(1, "flags");
  slot.guest_addr = args.Integer(2, "guestAddr");
  slot.size = args.Integer(3, "size");
  slot.host_addr = args.BigInt(4, "hostAddr");
  const bool owned = !args.At(5).IsNull();
  const std::span<uint8_t> memory = owned ? args.Shared(5, "owner") : std::span<uint8_t>();
  if (args.failed()) return {};
  const auto base = reinterpret_cast<uintptr_t>(memory.data());
  // The owner guards the memory only if the memory is the owner's.
  if (owned && slot.size > 0 && (slot.host_addr < base || !InBounds(slot.host_addr - base, slot.size, memory.size()))) {
    return ThrowRange(info.Env(),
                      "the slot's " + Hex(slot.size) + " bytes at " + Hex(slot.host_addr) + " must lie within owner");
  }
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");

  // The reference first: once the kernel has the slot, nothing may fail any more.
  Napi::ObjectReference owner;
  if (owned && slot.size > 0) owner = Napi::Persistent(args.At(5).As<Napi::Object>());
  auto done = vm_.SetMemoryRegion(id, slot);
  if (!done.ok()) {
    return ThrowSyscall(info.Env(), done.error(),
                        "slot " + std::to_string(id) + ", " + Hex(slot.size) + " bytes at guest " +
                            Hex(slot.guest_addr) + ", host " + Hex(slot.host_addr) + ", flags " + Hex(slot.flags));
  }
  if (slot.size == 0) {
    owners_.erase(id);
  } else if (owned) {
    owners_.insert_or_assign(id, std::move(owner));
  }
  return info.Env().Undefined();
}

Napi::Value VmHandle::OrDirtyLog(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t id = args.U32(0, "slot");
  const std::span<uint8_t> into = args.Bytes(1, "into");
  const uint64_t first = args.Integer(2, "firstBit");
  uint16_t* writers = args.U16ArrayOrNull(3, "writers", 0);
  const auto guest_writer = static_cast<uint16_t>(args.U32(4, "guestWriter", UINT16_MAX));
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  const kvm::Slot* slot = vm_.FindSlot(id);
  if (slot == nullptr)
    return ThrowCoded(info.Env(), "ERR_SLOT_UNKNOWN", "slot " + std::to_string(id) + " is not registered");
  // Before the log is read, which clears it: nothing may be lost because a buffer is too small.
  const uint64_t end = first + slot->pages();
  args.NeedSize("into", sys::BitmapBytes(end), into.size());
  args.U16ArrayOrNull(3, "writers", end);
  if (args.failed()) return {};
  auto found = vm_.OrDirtyLog(id, {into, writers, guest_writer}, first);
  if (!found.ok()) return ThrowSyscall(info.Env(), found.error(), "slot " + std::to_string(id));
  return Number(info.Env(), static_cast<double>(found.value()));
}

Napi::Value VmHandle::SetManualLog(const Napi::CallbackInfo& info) {
  Args args(info);
  const bool on = args.Boolean(0, "on");
  const bool initially_set = args.Boolean(1, "initiallySet");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.SetManualLog(on, initially_set));
}

Napi::Value VmHandle::ClearDirtyLog(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t id = args.U32(0, "slot");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  if (vm_.FindSlot(id) == nullptr)
    return ThrowCoded(info.Env(), "ERR_SLOT_UNKNOWN", "slot " + std::to_string(id) + " is not registered");
  auto done = vm_.ClearDirtyLog(id);
  if (!done.ok()) return ThrowSyscall(info.Env(), done.error(), "slot " + std::to_string(id));
  return info.Env().Undefined();
}

Napi::Value VmHandle::EnableDirtyRing(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t entries = args.U32(0, "entries");
  if (!args.failed() && !std::has_single_bit(entries))
    args.FailRange("entries must be a power of two, got " + std::to_string(entries));
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  auto done = vm_.EnableDirtyRing(entries);
  if (!done.ok())
    return ThrowSyscall(info.Env(), done.error(), "dirty rings of " + std::to_string(entries) + " entries");
  return info.Env().Undefined();
}

Napi::Value VmHandle::CollectRings(const Napi::CallbackInfo& info) {
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  if (vm_.rings() == nullptr) return ThrowNoRings(info.Env());
  auto taken = vm_.rings()->Collect();
  if (!taken.ok()) return ThrowSyscall(info.Env(), taken.error());
  return Number(info.Env(), static_cast<double>(taken.value()));
}

Napi::Value VmHandle::RingCounters(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t index = args.U32(0, "vcpu");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  if (vm_.rings() == nullptr) return ThrowNoRings(info.Env());
  const kvm::RingCounters counters = vm_.rings()->Counters(index);
  napi_value result = nullptr;
  napi_create_object(info.Env(), &result);
  napi_set_named_property(info.Env(), result, "entries", Number(info.Env(), static_cast<double>(counters.entries)));
  napi_set_named_property(info.Env(), result, "fullExits",
                          Number(info.Env(), static_cast<double>(counters.full_exits)));
  napi_set_named_property(info.Env(), result, "overflows", Number(info.Env(), static_cast<double>(counters.overflows)));
  return {info.Env(), result};
}

Napi::Value VmHandle::CreateIrqchip(const Napi::CallbackInfo& info) {
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.CreateIrqchip());
}

Napi::Value VmHandle::SplitIrqchip(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t pins = args.U32(0, "pins");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.SplitIrqchip(pins));
}

Napi::Value VmHandle::SetMsiRoutes(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint32_t> words = args.U32Array(0, "routes");
  if (!args.failed() && words.size() % 3 != 0)
    args.FailRange("routes must have three words each: gsi, address, data; got " + std::to_string(words.size()));
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  std::vector<kvm::MsiRoute> routes;
  routes.reserve(words.size() / 3);
  for (size_t i = 0; i < words.size(); i += 3) routes.push_back({words[i], words[i + 1], words[i + 2]});
  return UndefinedOrThrow(info.Env(), vm_.SetMsiRoutes(routes));
}

Napi::Value VmHandle::SignalMsi(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t address = args.U32(0, "address");
  const uint32_t data = args.U32(1, "data");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  auto taken = vm_.SignalMsi(address, data);
  if (!taken.ok()) return ThrowSyscall(info.Env(), taken.error());
  return Napi::Boolean::New(info.Env(), taken.value());
}

Napi::Value VmHandle::CreatePit(const Napi::CallbackInfo& info) {
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.CreatePit());
}

Napi::Value VmHandle::SetTssAddr(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint64_t addr = args.Integer(0, "addr");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.SetTssAddr(addr));
}

Napi::Value VmHandle::SetIdentityMapAddr(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint64_t addr = args.Integer(0, "addr");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.SetIdentityMapAddr(addr));
}

Napi::Value VmHandle::IrqLine(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t gsi = args.U32(0, "gsi");
  const uint32_t level = args.U32(1, "level", 1);
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  return UndefinedOrThrow(info.Env(), vm_.IrqLine(gsi, level));
}

Napi::Value VmHandle::AssignIoEventFd(const Napi::CallbackInfo& info) {
  Args args(info);
  const auto [writes, event] = ReadIoEvent(args);
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  auto done = vm_.AssignIoEventFd(writes, *event);
  if (!done.ok()) return ThrowSyscall(info.Env(), done.error(), Describe(writes));
  return info.Env().Undefined();
}

Napi::Value VmHandle::DeassignIoEventFd(const Napi::CallbackInfo& info) {
  Args args(info);
  const auto [writes, event] = ReadIoEvent(args);
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  auto done = vm_.DeassignIoEventFd(writes, *event);
  if (!done.ok()) return ThrowSyscall(info.Env(), done.error(), Describe(writes));
  return info.Env().Undefined();
}

Napi::Value VmHandle::AssignIrqFd(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t gsi = args.U32(0, "gsi");
  const std::shared_ptr<sys::EventFd> event = EventFdHandle::Argument(args, 1, "event");
  std::shared_ptr<sys::EventFd> resample;
  if (!args.At(2).IsNull()) resample = EventFdHandle::Argument(args, 2, "resample");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  auto done = vm_.AssignIrqFd(gsi, *event, resample.get());
  if (!done.ok()) return ThrowSyscall(info.Env(), done.error(), "gsi " + std::to_string(gsi));
  return info.Env().Undefined();
}

Napi::Value VmHandle::DeassignIrqFd(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t gsi = args.U32(0, "gsi");
  const std::shared_ptr<sys::EventFd> event = EventFdHandle::Argument(args, 1, "event");
  if (args.failed()) return {};
  if (!vm_.open()) return ThrowDisposed(info.Env(), "VM");
  auto done = vm_.DeassignIrqFd(gsi, *event);
  if (!done.ok()) return ThrowSyscall(info.Env(), done.error(), "gsi " + std::to_string(gsi));
  return info.Env().Undefined();
}

Napi::Value VmHandle::Close(const Napi::CallbackInfo& info) {
  Release();
  return info.Env().Undefined();
}

void VmHandle::Release() {
  for (const uint32_t id : vm_.Close()) {
    // The kernel still has this slot, and vCPUs elsewhere may reach its memory: leaking the buffer is the safe side.
    if (const auto owner = owners_.find(id); owner != owners_.end()) owner->second.SuppressDestruct();
  }
  owners_.clear();
}

}  // namespace binding
