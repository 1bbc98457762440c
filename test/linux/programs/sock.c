// Sockets for the scripts of Linux guests, since busybox knows no AF_VSOCK. Static; no arguments are checked beyond what a test needs.
//
//   sock connect ADDRESS             standard input goes to the peer, whose bytes go to standard output, until both have ended
//   sock serve ADDRESS COMMAND ...   goes to the background when it listens; each connection is a COMMAND's standard input and output
//   sock ask ADDRESS COUNT BYTES     sends datagrams of so many bytes, one after the other, and wants each of them back
//
// ADDRESS: vsock:CID:PORT (-1: any), tcp:IP:PORT, udp:IP:PORT. Exit status 1 and a line with the error where something fails.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

// Machines may be slow; a test's own limit is what ends a wait that is too long.
static const struct timeval kPatience = {.tv_sec = 60};

static void fail(const char *what) {
  fprintf(stderr, "sock: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int check(int result, const char *what) {
  if (result < 0) fail(what);
  return result;
}

struct address {
  union {
    struct sockaddr any;
    struct sockaddr_vm vsock;
    struct sockaddr_in ip;
  };
  socklen_t length;
  int type;
};

static struct address parse(char *text) {
  struct address address = {.type = SOCK_STREAM};
  char *save;
  const char *family = strtok_r(text, ":", &save);
  const char *host = strtok_r(NULL, ":", &save);
  const char *port = strtok_r(NULL, ":", &save);
  errno = EINVAL;
  if (family == NULL || host == NULL || port == NULL) fail("address");
  if (strcmp(family, "vsock") == 0) {
    address.vsock.svm_family = AF_VSOCK;
    address.vsock.svm_cid = (unsigned)atoi(host);
    address.vsock.svm_port = (unsigned)atoi(port);
    address.length = sizeof(address.vsock);
  } else {
    address.ip.sin_family = AF_INET;
    address.ip.sin_port = htons((unsigned short)atoi(port));
    if (inet_pton(AF_INET, host, &address.ip.sin_addr) != 1) fail("address");
    address.length = sizeof(address.ip);
    if (strcmp(family, "udp") == 0) address.type = SOCK_DGRAM;
  }
  return address;
}

static int open_socket(const struct address *address) {
  int fd = check(socket(address->any.sa_family, address->type, 0), "socket");
  if (address->any.sa_family == AF_VSOCK)
    check(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &kPatience, sizeof(kPatience)), "setsockopt");
  return fd;
}

static void pump(int from, int to) {
  static char buffer[64 * 1024];
  for (;;) {
    ssize_t got = read(from, buffer, sizeof(buffer));
    if (got < 0) fail("read");
    if (got == 0) return;
    for (ssize_t done = 0; done < got;) done += check((int)write(to, buffer + done, (size_t)(got - done)), "write");
  }
}

static int run_connect(const struct address *address) {
  int fd = open_socket(address);
  check(connect(fd, &address->any, address->length), "connect");
  pid_t child = check(fork(), "fork");
  if (child == 0) {
    pump(0, fd);
    check(shutdown(fd, SHUT_WR), "shutdown");
    return 0;
  }
  pump(fd, 1);
  int status;
  check(waitpid(child, &status, 0), "waitpid");
  return status == 0 ? 0 : 1;
}

static int run_serve(const struct address *address, char **command) {
  int listener = open_socket(address);
  check(bind(listener, &address->any, address->length), "bind");
  check(listen(listener, 16), "listen");
  if (check(fork(), "fork") != 0) return 0;
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int fd = check(accept(listener, NULL, NULL), "accept");
    if (check(fork(), "fork") == 0) {
      signal(SIGCHLD, SIG_DFL);
      check(dup2(fd, 0), "dup2");
      check(dup2(fd, 1), "dup2");
      close(fd);
      close(listener);
      execvp(command[0], command);
      fail(command[0]);
    }
    close(fd);
  }
}

static int run_ask(const struct address *address, int count, size_t bytes) {
  int fd = open_socket(address);
  check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience)), "setsockopt");
  check(connect(fd, &address->any, address->length), "connect");
  unsigned char *question = malloc(bytes);
  unsigned char *answer = malloc(bytes + 1);
  if (question == NULL || answer == NULL) fail("malloc");
  for (int number = 0; number < count; number++) {
    for (size_t i = 0; i < bytes; i++) question[i] = (unsigned char)(number * 31 + i * 7 + i / 256);
    check((int)send(fd, question, bytes, 0), "send");
    ssize_t got = check((int)recv(fd, answer, bytes + 1, 0), "recv");
    if ((size_t)got != bytes || memcmp(question, answer, bytes) != 0) {
      fprintf(stderr, "sock: the answer to datagram %d differs\n", number);
      return 1;
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc >= 3) {
    struct address address = parse(argv[2]);
    if (strcmp(argv[1], "connect") == 0) return run_connect(&address);
    if (strcmp(argv[1], "serve") == 0 && argc >= 4) return run_serve(&address, argv + 3);
    if (strcmp(argv[1], "ask") == 0 && argc == 5) return run_ask(&address, atoi(argv[3]), (size_t)atoi(argv[4]));
  }
  fprintf(stderr, "sock: connect ADDRESS | serve ADDRESS COMMAND ... | ask ADDRESS COUNT BYTES\n");
  return 2;
}
