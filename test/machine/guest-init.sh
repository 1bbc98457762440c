#!/bin/busybox sh
# The first process of the Linux guests that tests boot. Runs /job, a shell script that a test has put into its initrd, with the console as
# standard input and output, and powers off; without a /job it is a shell. For jobs: `load NAME` loads a module and what it depends on.

/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

load() {
  for module in $(cat "/modules/$1.order"); do
    grep -q "^$module " /proc/modules || insmod "/modules/$module.ko"
  done
}

if [ -f /job ]; then . /job; else setsid cttyhack sh; fi
poweroff -f
