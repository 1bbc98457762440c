// The smallest test framework that does: named tests, checks that end the test they fail in, tests that need a KVM. No
// N-API here: these programs run under the sanitizers, which Node itself does not.

#ifndef NODE_KVM_TEST_CHECK_H_
#define NODE_KVM_TEST_CHECK_H_

#include <vector>

namespace test {

struct Test {
  const char* name;
  bool needs_kvm;
  void (*body)();
};

std::vector<Test>& AllTests();
/** Adds a test; the value only serves to initialise a static object. */
bool Register(const char* name, bool needs_kvm, void (*body)());
/** Reports a failure of the running test. Any thread. */
void Fail(const char* file, int line, const char* condition);
/** Path of the KVM device. */
const char* KvmDevice();

}  // namespace test

#define TEST_CASE(id, name, needs_kvm)                                                      \
  static void id();                                                                         \
  [[maybe_unused]] static const bool id##_registered = test::Register(name, needs_kvm, id); \
  static void id()

#define TEST(id, name) TEST_CASE(id, name, false)
#define KVM_TEST(id, name) TEST_CASE(id, name, true)

/** Ends the function that it stands in: in a helper thread, that thread's part of the test. */
#define CHECK(condition)                          \
  do {                                            \
    if (!(condition)) {                           \
      test::Fail(__FILE__, __LINE__, #condition); \
      return;                                     \
    }                                             \
  } while (false)

#endif  // NODE_KVM_TEST_CHECK_H_
