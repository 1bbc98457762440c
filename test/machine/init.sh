#!/bin/busybox sh
# The emulated machine's first process. Loads the modules, mounts the root image (/dev/vda, read-only), runs the job (a shell
# script on /dev/vdb) in it, and tells the host on the second serial line: 'ready', 'alive' and the seconds since its start every two seconds, 'exit STATUS'.
# The first serial line is the console: the kernel's messages and what the job prints.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -F /dev/ttyS1 raw -echo
exec 3>/dev/ttyS1

for module in $(cat /modules/order); do
  insmod "/modules/$module.ko" || echo "init: insmod $module failed"
done
mount -t ext4 -o ro /dev/vda /system || echo 'init: no root image'
mount -t tmpfs -o mode=1777 tmp /system/tmp
mkdir /dev/shm
mount -t tmpfs shm /dev/shm
cat /dev/vdb > /system/tmp/job
# The shell begins this while /dev is still in its place, and looks where /proc will be.
while sleep 2; do read -r up idle < /system/proc/uptime; echo "alive $up" >&3; done &
for folder in dev sys proc; do mount --move /$folder /system/$folder; done

echo ready >&3
chroot /system /bin/sh /tmp/job 3>&-
echo "exit $?" >&3

# The host ends the machine when it has read that line. Should it not, the machine ends by itself.
sleep 10
echo b > /system/proc/sysrq-trigger
sleep 10
