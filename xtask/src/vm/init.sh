#!/bin/sh
# Starts the tests in a VM, with their output on the second serial line, between the lines that
# machine.rs waits for.
export PATH=/bin HOME=/root
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
exec </dev/null >"$TESTS_TTY" 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
mount -t tmpfs none /tmp
mount -t tracefs none /sys/kernel/tracing
mount -t debugfs none /sys/kernel/debug
mount -t bpf none /sys/fs/bpf
mount -t cgroup2 none /sys/fs/cgroup
mount -t securityfs none /sys/kernel/security
# An emulated processor does in a time slice what a real one does in a hundredth of it; a kernel that
# preempts our programs (7.0) would do so in most of them.
slice=/sys/kernel/debug/sched/base_slice_ns
[ ! -e $slice ] || echo 300000000 >$slice
ip link set lo up
for module in /modules/*; do
    insmod "$module" || echo "vm module $module does not load"
done

echo vm begin
/connect-observer check 2>&1 | sed 's/^/vm check /'
export PROGRAM32=/program32 CONNECT_OBSERVER=/connect-observer CONNECT_OBSERVER_STOCK_KERNEL=1 FEATURE_RESULTS=/run/features
eval "/tests $(cat /arguments)"
status=$?
sed 's/^/vm /' /run/features
echo "vm end $status"
poweroff -f
