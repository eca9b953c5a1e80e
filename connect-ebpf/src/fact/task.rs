//! Facts about the current task.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
    bpf_get_current_uid_gid, bpf_ktime_get_ns, generated::bpf_get_current_comm,
};
use connect_ebpf::record::COMM_LEN;

use super::{
    architecture,
    memory::{self, field},
    setting::setting,
};

/// Process and thread id of the current task, in the initial pid namespace.
#[derive(Clone, Copy)]
pub(crate) struct TaskId {
    /// The kernel's tgid.
    pub(crate) pid: u32,
    /// The kernel's pid.
    pub(crate) tid: u32,
}

impl TaskId {
    /// From what `bpf_get_current_pid_tgid` returns.
    #[inline(always)]
    pub(crate) const fn unpacked(id: u64) -> Self {
        Self {
            pid: (id >> 32) as u32,
            tid: id as u32,
        }
    }
}

/// Now, `CLOCK_MONOTONIC` in ns.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// cgroup v2 id of the current task.
#[inline(always)]
pub(crate) fn cgroup_id() -> u64 {
    // SAFETY: the helper takes no arguments.
    unsafe { bpf_get_current_cgroup_id() }
}

/// The current task's ids.
#[inline(always)]
pub(crate) fn current() -> TaskId {
    TaskId::unpacked(bpf_get_current_pid_tgid())
}

/// The current task's real user id, in the initial user namespace.
#[inline(always)]
pub(crate) fn uid() -> u32 {
    bpf_get_current_uid_gid() as u32
}

/// Writes the current task's name; all zero where the kernel has none.
#[inline(always)]
pub(crate) fn comm(to: &mut [u8; COMM_LEN]) {
    // SAFETY: the kernel writes all of it in any case.
    unsafe {
        bpf_get_current_comm(to.as_mut_ptr().cast(), COMM_LEN as u32);
    }
}

/// `PF_IO_WORKER` (`include/linux/sched.h`): a thread that io_uring has made in the caller's process.
const IO_WORKER: u32 = 0x10;

/// Writes the name of the task on whose behalf the current one works: itself, or the first thread of a
/// process whose io_uring has made this one.
#[inline(always)]
pub(crate) fn owners_comm(to: &mut [u8; COMM_LEN]) {
    if !leaders_comm_of_worker(to).unwrap_or(false) {
        comm(to);
    }
}

/// Whether the current task is such a thread, and its name has been written.
#[inline(always)]
fn leaders_comm_of_worker(to: &mut [u8; COMM_LEN]) -> Option<bool> {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    let flags: u32 = field(task, setting!(offsets.task_flags))?;
    if flags & IO_WORKER == 0 {
        return None;
    }
    let leader: u64 = field(task, setting!(offsets.task_group_leader))?;
    Some(memory::read_to(to, leader, setting!(offsets.task_comm)))
}

/// Whether the current task is in a 32-bit system call.
#[inline(always)]
pub(crate) fn is_compat() -> bool {
    // SAFETY: no arguments.
    architecture::is_compat(unsafe { bpf_get_current_task() })
}

/// Whether something interrupts the current task's system call: a signal, a stop, a debugger, work that another task
/// has for it. By the flags at which the kernel itself decides whether a call is restarted, so a number that a seccomp
/// filter gives means the same here and there.
#[inline(always)]
pub(crate) fn is_interrupted() -> bool {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    // What a task begins with (`CONFIG_THREAD_INFO_IN_TASK`), and `flags` is what that begins with.
    memory::read_or_zero::<u32>(task, 0) & setting!(interrupting_flags) != 0
}
