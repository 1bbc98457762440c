// The module: makes the addon's exports on each thread that loads it.

#include <napi.h>

#include "binding/addon_data.h"
#include "binding/bitmap.h"
#include "binding/collect.h"
#include "binding/errors.h"
#include "binding/event_fd_handle.h"
#include "binding/event_waiter_handle.h"
#include "binding/event_watcher_handle.h"
#include "binding/hole.h"
#include "binding/lab.h"
#include "binding/memory.h"
#include "binding/page_tracker_handle.h"
#include "binding/system_handle.h"
#include "binding/thread.h"
#include "binding/vcpu_handle.h"
#include "binding/vm_handle.h"
#include "binding/wake.h"
#include "sys/mapping.h"

namespace binding {
namespace {

/** A function of the addon: no receiver, no data. */
template <Napi::Value (*kFunction)(const Napi::CallbackInfo&)>
napi_property_descriptor Function(const char* name) {
  const napi_callback callback = [](napi_env env, napi_callback_info raw) -> napi_value {
    const Napi::CallbackInfo info(env, raw);
    return kFunction(info);
  };
  return {name, nullptr, callback, nullptr, nullptr, nullptr, napi_enumerable, nullptr};
}

/** setErrorClass(HypervisorError): the hook by which native/index.ts makes this thread's errors instances of its class.
 */
Napi::Value SetErrorClass(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) return ThrowType(info.Env(), "the error class must be a function");
  AddonData::Of(info.Env()).error_class = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData;
  env.SetInstanceData(data);
  const Napi::Object global = env.Global();
  data->object_create = Napi::Persistent(global.Get("Object").As<Napi::Object>().Get("create").As<Napi::Function>());
  data->data_view = Napi::Persistent(global.Get("DataView").As<Napi::Function>());
  napi_value wrap_run = nullptr;
  const Napi::String source = Napi::String::New(env, "(native) => function run() { return native(); }");
  if (napi_run_script(env, source, &wrap_run) != napi_ok) return exports;
  data->wrap_run = Napi::Persistent(Napi::Function(env, wrap_run));
  data->system_prototype = SystemHandle::Prototype(env);
  data->vm_prototype = VmHandle::Prototype(env);
  data->vcpu_prototype = VcpuHandle::Prototype(env);
  data->page_tracker_prototype = PageTrackerHandle::Prototype(env);
  data->event_fd_prototype = EventFdHandle::Prototype(env);
  data->event_waiter_prototype = EventWaiterHandle::Prototype(env);
  data->event_watcher_prototype = EventWatcherHandle::Prototype(env);

  const napi_property_descriptor functions[] = {
      {"pageSize", nullptr, nullptr, nullptr, nullptr, Napi::Number::New(env, static_cast<double>(sys::PageSize())),
       napi_enumerable, nullptr},
      Function<SetErrorClass>("setErrorClass"),
      Function<MapMemory>("mapMemory"),
      Function<WrapExternal>("wrapExternal"),
      Function<CountGarbage>("countGarbage"),
      Function<AddressOf>("addressOf"),
      Function<Prefault>("prefault"),
      Function<Discard>("discard"),
      Function<Fill>("fill"),
      Function<Copy>("copy"),
      Function<TakeMarks>("takeMarks"),
      Function<CountBits>("countBits"),
      Function<BitRanges>("bitRanges"),
      Function<DistributeBits>("distributeBits"),
      Function<PageTrackerHandle::Open>("openPageTracker"),
      Function<EventFdHandle::Create>("createEventFd"),
      Function<EventFdHandle::Attach>("attachEventFd"),
      Function<EventWaiterHandle::Create>("createEventWaiter"),
      Function<EventWatcherHandle::Create>("watchEvents"),
      Function<PunchHole>("punchHole"),
      Function<SystemHandle::Open>("openSystem"),
      Function<VmHandle::Attach>("attachVm"),
      Function<VcpuHandle::Create>("createVcpu"),
      Function<ThreadId>("threadId"),
      Function<Kick>("kick"),
      Function<Heartbeat>("heartbeat"),
      Function<SetAffinity>("setAffinity"),
      Function<GetAffinity>("getAffinity"),
      Function<MonotonicNs>("monotonicNs"),
      Function<CollectGarbage>("collectGarbage"),
      Function<WakeAnswer>("wakeAnswer"),
      Function<WakeAsk>("wakeAsk"),
      Function<WakeAnswerEvent>("wakeAnswerEvent"),
      Function<ServeExits>("serveExits"),
      Function<InjectFault>("injectFault"),
      Function<LabRun>("labRun"),
      Function<WriteMarked>("writeMarked"),
  };
  napi_define_properties(env, exports, std::size(functions), functions);
  return exports;
}

}  // namespace
}  // namespace binding

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return binding::Init(env, exports); }

NODE_API_MODULE(node_kvm, InitAddon)
