// punchHole().

#include "binding/hole.h"

#include <limits>

#include "binding/args.h"
#include "binding/errors.h"
#include "sys/hole.h"

namespace binding {
namespace {

/** Deletes itself when it has settled its promise. */
class PunchHoleWork : public Napi::AsyncWorker {
 public:
  PunchHoleWork(Napi::Env env, int fd, uint64_t position, uint64_t length)
      : Napi::AsyncWorker(env, "node-kvm.punchHole"),
        deferred_(Napi::Promise::Deferred::New(env)),
        fd_(fd),
        position_(position),
        length_(length) {}

  Napi::Value Promise() const { return deferred_.Promise(); }

  void Execute() override { done_ = sys::PunchHole(fd_, position_, length_); }

  void OnOK() override {
    if (done_.ok()) {
      deferred_.Resolve(Napi::Boolean::New(Env(), done_.value()));
      return;
    }
    ThrowSyscall(Env(), done_.error());
    napi_value error = nullptr;
    if (napi_get_and_clear_last_exception(Env(), &error) == napi_ok) deferred_.Reject(error);
  }

 private:
  Napi::Promise::Deferred deferred_;
  const int fd_;
  const uint64_t position_;
  const uint64_t length_;
  sys::Result<bool> done_ = false;
};

}  // namespace

Napi::Value PunchHole(const Napi::CallbackInfo& info) {
  Args args(info);
  const auto fd = static_cast<int>(args.U32(0, "fd", std::numeric_limits<int>::max()));
  const uint64_t position = args.Integer(1, "position");
  const uint64_t length = args.Integer(2, "length", kMaxSafeInteger, 1);
  if (args.failed()) return {};
  auto* work = new PunchHoleWork(info.Env(), fd, position, length);
  const Napi::Value promise = work->Promise();
  work->Queue();
  return promise;
}

}  // namespace binding
