//! 64-bit Arm: where a task saves its registers, and how a system call is made, taken back and made again.
//! Every processor has the same items.

use crate::fact::{
    memory,
    saved_registers::{Place, SavedRegisters},
};

/// Number of the connect system call (`include/uapi/asm-generic/unistd.h`).
pub(crate) const SYS_CONNECT: i64 = 203;

/// Size of the instruction that makes a system call, which a restart makes again, in bytes.
pub(crate) const SYSCALL_LENGTH: u64 = 4;

/// Whether the saved registers show, when a handler is about to begin, that an earlier signal has
/// decided for a restart. They do not: they are set for one in any case, and set back if the handler
/// decides otherwise (`do_signal` in `arch/arm64/kernel/signal.c`).
pub(crate) const SHOWS_DECISION: bool = false;

/// Where `rt_sigreturn(2)` finds the registers that it restores, from the stack pointer on, in
/// bytes: `uc_mcontext.regs`, `.sp` and `.pc` (`arch/arm64/include/uapi/asm/sigcontext.h`), behind a
/// `siginfo` of 128 bytes and a `ucontext` of 176.
pub(crate) const SIGFRAME_RESULT: u64 = 128 + 176 + 8;
/// See [`SIGFRAME_RESULT`].
pub(crate) const SIGFRAME_STACK_POINTER: u64 = SIGFRAME_RESULT + 8 * 31;
/// See [`SIGFRAME_RESULT`].
pub(crate) const SIGFRAME_INSTRUCTION_POINTER: u64 = SIGFRAME_STACK_POINTER + 8;
/// The number of a system call that is made again, or of one that is over: `x8`.
pub(crate) const SIGFRAME_SYSTEM_CALL: u64 = SIGFRAME_RESULT + 8 * 8;

/// `TIF_32BIT` (`arch/arm64/include/asm/thread_info.h`): the task is one of a 32-bit program.
const COMPAT: u64 = 1 << 22;

/// Whether this task makes 32-bit system calls.
#[inline(always)]
pub(crate) fn is_compat(task: u64) -> bool {
    // A task begins with its `thread_info` (`CONFIG_THREAD_INFO_IN_TASK`), and that with its flags.
    memory::read::<u64>(task, 0).is_some_and(|flags| flags & COMPAT != 0)
}

/// Whether a denied call, which returns this, has been taken back for a signal to decide
/// (`syscall_rollback`): its result is its first argument again.
#[inline(always)]
pub(crate) fn is_taken_back(
    ret: i64,
    fd: Option<i32>,
    is_interrupted: impl FnOnce() -> bool,
) -> bool {
    fd == Some(ret as i32) && is_interrupted()
}

/// Offsets in `struct pt_regs` (`arch/arm64/include/asm/ptrace.h`), in bytes: `regs` is first.
const X8: u32 = 8 * 8;
/// The stack pointer of a 32-bit program.
const X13: u32 = 8 * 13;
const SP: u32 = 8 * 31;
const ORIG_X0: u32 = 8 * 34;
const SYSCALLNO: u32 = 8 * 35;

/// `PSR_MODE32_BIT` of `pstate` (`arch/arm64/include/uapi/asm/ptrace.h`).
const MODE32: u64 = 1 << 4;

/// The registers that stand here.
#[inline(always)]
pub(crate) fn saved(pt_regs: u64) -> SavedRegisters {
    let [x0, x1, x2]: [u64; 3] = memory::read_or_zero(pt_regs, 0);
    let [sp, pc, pstate]: [u64; 3] = memory::read_or_zero(pt_regs, SP);
    let stack_pointer = if pstate & MODE32 == 0 {
        sp
    } else {
        memory::read_or_zero(pt_regs, X13)
    };
    let orig_x0 = memory::read_or_zero(pt_regs, ORIG_X0);
    // The kernel forgets it when it looks for signals (`forget_syscall`); the register stays.
    let system_call = match memory::read_or_zero::<i32>(pt_regs, SYSCALLNO) {
        number @ 0.. => number.into(),
        _ => memory::read_or_zero::<i64>(pt_regs, X8),
    };
    SavedRegisters {
        system_call,
        arguments: [orig_x0, x1, x2],
        result: x0.cast_signed(),
        place: Place {
            stack_pointer,
            instruction_pointer: pc,
        },
    }
}

/// Where this task saved its registers; see [`saved_on_stack`].
#[inline(always)]
pub(crate) const fn place_on_stack(_task: u64) -> Option<u64> {
    None
}

/// The registers that this task saved, without a helper to find them: kernels that lack it have no
/// hooks on functions on this processor either, and are not served so far.
#[inline(always)]
pub(crate) const fn saved_on_stack(_task: u64) -> Option<SavedRegisters> {
    None
}
