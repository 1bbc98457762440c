// What the addon keeps per environment (the main thread or a worker). Created when the addon is loaded on a thread,
// destroyed with that thread's environment; never shared, so nothing in it needs a lock.

#ifndef NODE_KVM_BINDING_ADDON_DATA_H_
#define NODE_KVM_BINDING_ADDON_DATA_H_

#include <napi.h>

#include "sys/kick.h"

namespace binding {

struct AddonData {
  /** HypervisorError, as native/index.ts registered it; empty until then. */
  Napi::FunctionReference error_class;
  /** Intrinsics as they were at load time, so that a program which patches its globals changes nothing here. */
  Napi::FunctionReference object_create;
  Napi::FunctionReference data_view;
  /** (native) => function run() { return native(); }: see NewRunFunction. */
  Napi::FunctionReference wrap_run;
  /** The objects that carry the methods of each kind of handle. */
  Napi::ObjectReference system_prototype;
  Napi::ObjectReference vm_prototype;
  Napi::ObjectReference vcpu_prototype;
  Napi::ObjectReference page_tracker_prototype;
  Napi::ObjectReference event_fd_prototype;
  Napi::ObjectReference event_waiter_prototype;
  Napi::ObjectReference event_watcher_prototype;
  /** This thread's, when it has one. */
  sys::Heartbeat heartbeat;

  static AddonData& Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_ADDON_DATA_H_
