// A Linux guest's first process, as short as one can be: says on the console that it runs, and powers off. For boots that are measured or
// repeated.

#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

int main(void) {
  static const char kLine[] = "first line\n";
  if (write(STDOUT_FILENO, kLine, sizeof kLine - 1) != sizeof kLine - 1) return 1;
  // What the driver of the port still holds when the machine goes is lost.
  if (tcdrain(STDOUT_FILENO) != 0) return 1;
  reboot(RB_POWER_OFF);
  return 1;
}
