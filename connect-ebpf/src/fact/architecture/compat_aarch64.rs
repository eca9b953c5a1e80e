//! 64-bit Arm: the system calls of 32-bit programs. Every processor has the same items.

use crate::fact::memory;

/// Number in `arch/arm64/tools/syscall_32.tbl`. `socketcall` is no call of the EABI, the only one that there is.
const CONNECT: u32 = 283;

/// Offsets in `struct pt_regs` (`arch/arm64/include/asm/ptrace.h`), in bytes: `regs` is first.
const X1: u32 = 8;
/// See [`X1`].
const X2: u32 = 16;
/// See [`X1`].
const ORIG_X0: u32 = 8 * 34;
/// See [`X1`].
const SYSCALLNO: u32 = 8 * 35;

/// Whether a 32-bit system call of this number may be a connect.
#[inline(always)]
pub(crate) const fn may_connect(number: u32) -> bool {
    number == CONNECT
}

/// Whether a signal handler of a 32-bit program returns by this system call: how its frame looks is not known here.
#[inline(always)]
pub(crate) const fn is_sigreturn(_number: u32) -> bool {
    false
}

/// The number of the system call that these registers were saved in.
#[inline(always)]
pub(crate) fn number(registers: u64) -> u32 {
    memory::read_or_zero(registers, SYSCALLNO)
}

/// Whether a 32-bit system call that [`may_connect`] is one, with the registers that stand here.
#[inline(always)]
pub(crate) const fn connects(_number: u32, _registers: u64) -> bool {
    true
}

/// The arguments of a connect.
#[inline(always)]
pub(crate) fn arguments(_number: u32, registers: u64) -> Option<[u64; 3]> {
    Some([ORIG_X0, X1, X2].map(|register| memory::read_or_zero::<u32>(registers, register).into()))
}

/// A register that a handler's frame has for what was interrupted.
#[derive(Clone, Copy)]
pub(crate) enum FrameRegister {
    /// Number or result of the system call.
    Result,
    /// The stack pointer.
    StackPointer,
    /// The instruction pointer.
    InstructionPointer,
}

/// A register in the frame of a handler that returns by a 32-bit system call; see [`is_sigreturn`].
#[inline(always)]
pub(crate) const fn in_frame(
    _system_call: u32,
    _stack_pointer: u64,
    _register: FrameRegister,
) -> Option<u64> {
    None
}
