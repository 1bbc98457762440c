// Runs the tests of sys/ and kvm/. Usage: native-tests [part of a test's name]. NODE_KVM_DEVICE replaces /dev/kvm;
// without the device the tests that need it are counted as skipped, unless REQUIRE_KVM=1.

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "test/check.h"

namespace test {
namespace {
std::atomic<int> failures{0};
}

std::vector<Test>& AllTests() {
  static std::vector<Test> tests;
  return tests;
}

bool Register(const char* name, bool needs_kvm, void (*body)()) {
  AllTests().push_back({name, needs_kvm, body});
  return true;
}

void Fail(const char* file, int line, const char* condition) {
  failures.fetch_add(1);
  fprintf(stderr, "    %s:%d: %s\n", file, line, condition);
}

const char* KvmDevice() {
  const char* named = getenv("NODE_KVM_DEVICE");
  return named != nullptr ? named : "/dev/kvm";
}

}  // namespace test

int main(int argc, char** argv) {
  // A lost kick would be a hang: then the process ends here, with a status that is not 0.
  alarm(240);
  const bool has_kvm = access(test::KvmDevice(), F_OK) == 0;
  const char* required = getenv("REQUIRE_KVM");
  int passed = 0, failed = 0, skipped = 0;
  for (const test::Test& entry : test::AllTests()) {
    if (argc > 1 && strstr(entry.name, argv[1]) == nullptr) continue;
    if (entry.needs_kvm && !has_kvm) {
      if (required != nullptr && strcmp(required, "1") == 0) test::Fail(entry.name, 0, "REQUIRE_KVM=1");
      ++skipped;
      continue;
    }
    const int before = test::failures.load();
    entry.body();
    const bool ok = test::failures.load() == before;
    ++(ok ? passed : failed);
    printf("  %s %s\n", ok ? "ok  " : "FAIL", entry.name);
    fflush(stdout);
  }
  printf("  %d passed, %d failed, %d skipped%s\n", passed, failed, skipped, skipped > 0 ? " (no KVM device)" : "");
  return test::failures.load() == 0 && passed + skipped > 0 ? 0 : 1;
}
