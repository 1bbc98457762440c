// The baselines' process: reads a command a line from standard input, runs it, answers `<nanoseconds> <check>` in a line.
// It lives as long as the benchmark and sleeps in read() between its rounds, so that rounds alternate with TypeScript's
// without a process start in between and without either side's threads running during the other's round.

#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "baseline.h"

int main() {
  using namespace baseline;
  const std::map<std::string, std::function<Answer(Arguments&)>> commands = {
      {"exits-open", OpenExits},   {"exits-run", RunExits},     {"start-vm", StartVm},
      {"idle-open", OpenIdleVms},  {"idle-close", CloseIdleVms}, {"memory-open", OpenMemory},
      {"words-read", ReadWords},   {"words-write", WriteWords}, {"words-add", AddWords},
      {"copies-open", OpenCopies}, {"copies-run", RunCopies},
      {"dirty-open", OpenDirty},   {"dirty-close", CloseDirty}, {"dirty-start", StartDirty},
      {"dirty-stop", StopDirty},   {"dirty-harvest", HarvestDirty}, {"dirty-get", GetDirty},
      {"dirty-clear", ClearDirty}, {"dirty-guest", WriteByGuest}, {"dirty-host", WriteByHost},
  };
  std::string text;
  while (std::getline(std::cin, text)) {
    Arguments line(text);
    const auto name = Next<std::string>(line);
    const auto command = commands.find(name);
    if (command == commands.end()) {
      errno = ENOSYS;
      Fail(name.c_str());
    }
    const Answer answer = command->second(line);
    std::printf("%.0f %llu\n", answer.nanoseconds, static_cast<unsigned long long>(answer.check));
    std::fflush(stdout);
  }
  return 0;
}
