// Reads a part of a block device past the page cache into memory that it has written before: nobody but the device stores there when it reads.
// Prints "armed", waits for a line on standard input, reads, prints "took", and waits for another line.
// Usage: read-when-told DEVICE START LENGTH, in bytes, multiples of 4096.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: read-when-told DEVICE START LENGTH\n");
    return 2;
  }
  off_t start = strtoll(argv[2], NULL, 0);
  size_t length = strtoull(argv[3], NULL, 0);
  int fd = open(argv[1], O_RDONLY | O_DIRECT);
  char *buffer = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fd < 0 || buffer == MAP_FAILED || mlock(buffer, length) != 0) {
    perror(argv[1]);
    return 1;
  }
  memset(buffer, 0x5a, length);
  char line[16];
  puts("armed");
  fflush(stdout);
  if (fgets(line, sizeof(line), stdin) == NULL) return 1;
  if (pread(fd, buffer, length, start) != (ssize_t)length) {
    perror("pread");
    return 1;
  }
  puts("took");
  fflush(stdout);
  return fgets(line, sizeof(line), stdin) == NULL;
}
