// The guest's side of examples/linux-exec.ts: runs one command that the host gives it by vsock, and tells how it ended. Static, so that it runs on
// any initrd. It is the guest's first process (the script that the kernel starts becomes it): so it reaps orphans, and turns the machine off at the end.
//
// Four connections to the host (CID 2). CONTROL brings the command, up to a NUL, and takes the exit status as text; the others are the command's
// standard input, output and error. The host closes CONTROL when it has read everything.

#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 1024, INPUT = 1025, OUTPUT = 1026, ERRORS = 1027 };

static void give_up(const char *what) {
  perror(what);
  reboot(RB_AUTOBOOT);
  _exit(1);
}

static int dial(unsigned port) {
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) give_up("exec-agent: no vsock (are virtio_mmio and vmw_vsock_virtio_transport loaded?)");
  if (connect(fd, (struct sockaddr *)&host, sizeof host) < 0) give_up("exec-agent: connect");
  return fd;
}

static pid_t start(const char *command, const int streams[3]) {
  pid_t child = fork();
  if (child < 0) give_up("exec-agent: fork");
  if (child > 0) return child;
  setsid();
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) dup2(streams[fd], fd);
  execl("/bin/sh", "sh", "-c", command, (char *)NULL);
  perror("/bin/sh");
  _exit(127);
}

int main(void) {
  static char command[1 << 16];
  int control = dial(CONTROL);
  int streams[3] = {dial(INPUT), dial(OUTPUT), dial(ERRORS)};

  for (size_t length = 0; length == 0 || command[length - 1] != '\0';) {
    ssize_t got = read(control, command + length, sizeof command - length);
    if (got <= 0) give_up("exec-agent: no command, or a long one");
    length += (size_t)got;
  }
  pid_t child = start(command, streams);
  for (int i = 0; i < 3; i++) close(streams[i]);

  int status = 0;
  while (wait(&status) != child) continue;
  sync();
  // As a shell says it.
  dprintf(control, "%d", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  while (read(control, command, sizeof command) > 0) continue;
  reboot(RB_POWER_OFF);
  return 1;
}
