//! Facts about the current task.

use core::{mem::offset_of, ptr::with_exposed_provenance};

use aya_ebpf::{
    bindings,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
        bpf_get_current_task, bpf_get_current_task_btf, bpf_get_current_uid_gid, bpf_ktime_get_ns,
        bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs,
    },
};
use connect_ebpf::record::COMM_LEN;

use crate::maps::setting;

/// Process and thread id of the current task, in the initial pid namespace.
#[derive(Clone, Copy)]
pub(crate) struct TaskId {
    /// The kernel's tgid.
    pub(crate) pid: u32,
    /// The kernel's pid.
    pub(crate) tid: u32,
}

impl TaskId {
    /// From what `bpf_get_current_pid_tgid` says.
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

/// The current task's name; all zero where the kernel does not tell.
#[inline(always)]
pub(crate) fn comm() -> [u8; COMM_LEN] {
    bpf_get_current_comm().unwrap_or_default()
}

/// `PF_IO_WORKER` (`include/linux/sched.h`): a thread that io_uring has made in the caller's process.
const IO_WORKER: u32 = 0x10;

/// Name of the task on whose behalf the current one works: itself, or the first thread of a process
/// whose io_uring has made this one.
#[inline(always)]
pub(crate) fn owners_comm() -> [u8; COMM_LEN] {
    leaders_comm_of_worker().unwrap_or_else(comm)
}

#[inline(always)]
fn leaders_comm_of_worker() -> Option<[u8; COMM_LEN]> {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    let flags: u32 = field(task, setting!(offsets.task_flags))?;
    if flags & IO_WORKER == 0 {
        return None;
    }
    let leader: u64 = field(task, setting!(offsets.task_group_leader))?;
    field(leader, setting!(offsets.task_comm))
}

/// `TS_COMPAT` (`arch/x86/include/asm/thread_info.h`): a 32-bit system call is under way.
#[cfg(bpf_target_arch = "x86_64")]
const COMPAT: u32 = 2;

/// Whether the current task is in a 32-bit system call.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn is_compat() -> bool {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    // What a task begins with (`CONFIG_THREAD_INFO_IN_TASK`).
    field::<u32>(task, setting!(offsets.thread_info_status))
        .is_some_and(|status| status & COMPAT != 0)
}

/// A field of a structure of the kernel; `None` where its offset is not known.
#[inline(always)]
pub(crate) fn field<T>(base: u64, offset: u32) -> Option<T> {
    if offset == 0 {
        return None;
    }
    at(base.wrapping_add(offset.into()))
}

/// What lies at this address of the kernel's.
#[inline(always)]
pub(crate) fn at<T>(address: u64) -> Option<T> {
    let address = with_exposed_provenance::<T>(address as usize);
    // SAFETY: bpf_probe_read_kernel checks the address itself; T is an integer or bytes.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}

/// `thread_info.flags` bits that interrupt a system call, `TIF_SIGPENDING` and `TIF_NOTIFY_SIGNAL`:
/// bits 2 and 17 (`arch/x86/include/asm/thread_info.h`), since the flags are the same for every
/// architecture bits 1 and 2 (`include/asm-generic/thread_info_tif.h`). Which of the two is not
/// told; the other meanings of these bits, all rare, only make a call look interrupted.
#[cfg(bpf_target_arch = "x86_64")]
const INTERRUPTED: u64 = 1 << 1 | 1 << 2 | 1 << 17;

/// Whether something may interrupt the current task's system call, or has: a signal, a stop, a
/// debugger. False where surely nothing does.
#[inline(always)]
pub(crate) fn may_be_interrupted() -> bool {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    // What a task begins with (`CONFIG_THREAD_INFO_IN_TASK`), and `flags` is what that begins with.
    let flags = with_exposed_provenance::<u64>(task as usize);
    // SAFETY: bpf_probe_read_kernel checks the address itself.
    let flags = unsafe { bpf_probe_read_kernel(flags) };
    flags.map_or(true, |flags| flags & INTERRUPTED != 0)
}

/// Registers that the current task saved when it entered the kernel.
#[derive(Clone, Copy)]
pub(crate) struct SavedRegisters {
    /// Which system call it is in; negative in an interrupt or fault.
    pub(crate) system_call: i64,
    /// The first three arguments of the system call that it is in.
    pub(crate) arguments: [u64; 3],
    /// What the system call is going to return, as far as that is decided.
    pub(crate) result: i64,
    /// Its stack pointer.
    pub(crate) stack_pointer: u64,
    /// Its instruction pointer.
    pub(crate) instruction_pointer: u64,
}

impl SavedRegisters {
    /// Of a task whose registers cannot be read.
    pub(crate) const UNKNOWN: Self = Self {
        system_call: 0,
        arguments: [0; 3],
        result: 0,
        stack_pointer: 0,
        instruction_pointer: 0,
    };
}

/// The current task's saved registers. Needs `bpf_task_pt_regs`.
#[inline(always)]
pub(crate) fn registers() -> Option<SavedRegisters> {
    // SAFETY: no arguments; the verifier knows what it returns.
    let task = unsafe { bpf_get_current_task_btf() };
    // SAFETY: `task` is the current task, straight from the helper.
    let registers = unsafe { bpf_task_pt_regs(task) };
    // The helper returns a pointer; its binding says `long`.
    let registers = registers.cast_unsigned() + offset_of!(bindings::pt_regs, rax) as u64;
    let registers = with_exposed_provenance::<Registers>(registers as usize);
    // SAFETY: bpf_probe_read_kernel checks the address itself.
    let registers = unsafe { bpf_probe_read_kernel(registers) }.ok()?;
    Some(saved(registers))
}

/// Size of a task's stack in the kernel (`THREAD_SIZE` in `arch/x86/include/asm/page_64_types.h`), of one
/// without KASAN.
#[cfg(bpf_target_arch = "x86_64")]
const STACK_SIZE: u64 = 16 << 10;

/// The same without that helper, of kernels before 5.15: they lie at the very end of the stack.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn registers_on_stack() -> Option<SavedRegisters> {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    let stack: u64 = field(task, setting!(offsets.task_stack))?;
    let end = stack.wrapping_add(STACK_SIZE);
    let from_rax = size_of::<bindings::pt_regs>() - offset_of!(bindings::pt_regs, rax);
    let registers: Registers = at(end.wrapping_sub(from_rax as u64))?;
    let [_, _, _, _, _, _, _, cs, ..] = registers;
    // Of a task in user space; anything else stands there if the stack has another size.
    matches!(cs, USER_CS | USER32_CS).then(|| saved(registers))
}

/// Segment selectors of user space (`arch/x86/include/asm/segment.h`).
#[cfg(bpf_target_arch = "x86_64")]
const USER_CS: u64 = 0x33;
#[cfg(bpf_target_arch = "x86_64")]
const USER32_CS: u64 = 0x23;

/// Number of the connect system call (`arch/x86/entry/syscalls/syscall_64.tbl`).
#[cfg(bpf_target_arch = "x86_64")]
pub(crate) const SYS_CONNECT: i64 = 42;

/// Size of the instruction that makes a system call, which a restart makes again, in bytes.
#[cfg(bpf_target_arch = "x86_64")]
pub(crate) const SYSCALL_LENGTH: u64 = 2;

/// Where `rt_sigreturn(2)` finds the registers that it restores, from the stack pointer on, in
/// bytes: `uc_mcontext.ax`, `.sp` and `.ip` (`arch/x86/include/uapi/asm/sigcontext.h`).
#[cfg(bpf_target_arch = "x86_64")]
const SIGFRAME_RESULT: u64 = 144;
#[cfg(bpf_target_arch = "x86_64")]
const SIGFRAME_STACK_POINTER: u64 = 160;
#[cfg(bpf_target_arch = "x86_64")]
const SIGFRAME_INSTRUCTION_POINTER: u64 = 168;

/// What the interrupted code will find as the result of its system call when the handler that is
/// about to return has returned. A handler may have put something there, as one of SIGSYS does.
#[inline(always)]
pub(crate) fn result_after_handler(stack_pointer: u64) -> Option<i64> {
    sigframe(stack_pointer, SIGFRAME_RESULT).map(u64::cast_signed)
}

/// Where the interrupted code's stack will be when the handler that is about to return has returned.
#[inline(always)]
pub(crate) fn stack_pointer_after_handler(stack_pointer: u64) -> Option<u64> {
    sigframe(stack_pointer, SIGFRAME_STACK_POINTER)
}

/// With which stack and instruction pointer a connect call will return that is made again when the
/// handler that is about to return has returned; `None` if none is.
#[inline(always)]
pub(crate) fn restart_after_handler(stack_pointer: u64) -> Option<(u64, u64)> {
    if result_after_handler(stack_pointer) != Some(SYS_CONNECT) {
        return None;
    }
    let made = instruction_after_handler(stack_pointer)?;
    let returns = made.wrapping_add(SYSCALL_LENGTH);
    Some((stack_pointer_after_handler(stack_pointer)?, returns))
}

/// Where the thread goes on when the handler that is about to return has returned.
#[inline(always)]
pub(crate) fn instruction_after_handler(stack_pointer: u64) -> Option<u64> {
    sigframe(stack_pointer, SIGFRAME_INSTRUCTION_POINTER)
}

#[inline(always)]
fn sigframe(stack_pointer: u64, offset: u64) -> Option<u64> {
    if stack_pointer == 0 {
        return None;
    }
    let register = with_exposed_provenance((stack_pointer + offset) as usize);
    // SAFETY: the helper checks the user's pointer.
    unsafe { bpf_probe_read_user(register) }.ok()
}

/// From `rax` to `rsp` of `struct pt_regs` (`arch/x86/include/asm/ptrace.h`): half of it, as the stack
/// is small.
#[cfg(bpf_target_arch = "x86_64")]
type Registers = [u64; 10];

#[cfg(bpf_target_arch = "x86_64")]
const _: () = assert!(
    offset_of!(bindings::pt_regs, rsp) + size_of::<u64>()
        == offset_of!(bindings::pt_regs, rax) + size_of::<Registers>()
);

/// System V ABI, system calls: rdi, rsi, rdx.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
const fn saved(registers: Registers) -> SavedRegisters {
    let [rax, _, rdx, rsi, rdi, orig_rax, rip, _, _, rsp] = registers;
    SavedRegisters {
        system_call: orig_rax.cast_signed(),
        arguments: [rdi, rsi, rdx],
        result: rax.cast_signed(),
        stack_pointer: rsp,
        instruction_pointer: rip,
    }
}
