// Makes the kernel write zeroes to a part of a block device (BLKZEROOUT), which busybox has no command for.
// Usage: zero-blocks DEVICE START LENGTH, in bytes.

#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: zero-blocks DEVICE START LENGTH\n");
    return 2;
  }
  uint64_t range[2] = {strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0)};
  int fd = open(argv[1], O_RDWR);
  if (fd < 0 || ioctl(fd, BLKZEROOUT, range) != 0 || fsync(fd) != 0) {
    perror(argv[1]);
    return 1;
  }
  return 0;
}
