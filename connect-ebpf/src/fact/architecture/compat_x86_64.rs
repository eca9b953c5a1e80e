//! x86-64: the system calls of 32-bit programs, which also a 64-bit one can make (`int 0x80`). Every processor has
//! the same items.

use core::{mem::offset_of, ptr::with_exposed_provenance};

use aya_ebpf::{bindings::pt_regs, helpers::bpf_probe_read_user};

use crate::fact::memory;

/// Numbers in `arch/x86/entry/syscalls/syscall_32.tbl`.
const SOCKETCALL: u32 = 102;
/// See [`SOCKETCALL`].
const SIGRETURN: u32 = 119;
/// See [`SOCKETCALL`].
const RT_SIGRETURN: u32 = 173;
/// See [`SOCKETCALL`].
const CONNECT: u32 = 362;

/// First argument of `socketcall` for a connect (`include/uapi/linux/net.h`).
const SYS_CONNECT: u32 = 3;

/// Whether a 32-bit system call of this number may be a connect.
#[inline(always)]
pub(crate) const fn may_connect(number: u32) -> bool {
    number == CONNECT || number == SOCKETCALL
}

/// Whether a signal handler of a 32-bit program returns by this system call.
#[inline(always)]
pub(crate) const fn is_sigreturn(number: u32) -> bool {
    number == SIGRETURN || number == RT_SIGRETURN
}

/// The number of the system call that these registers were saved in.
#[inline(always)]
pub(crate) fn number(registers: u64) -> u32 {
    memory::read_or_zero(registers, offset_of!(pt_regs, orig_rax) as u32)
}

/// Whether a 32-bit system call that [`may_connect`] is one, with the registers that stand here.
#[inline(always)]
pub(crate) fn connects(number: u32, registers: u64) -> bool {
    number == CONNECT || memory::read_or_zero::<u32>(registers, EBX) == SYS_CONNECT
}

/// The arguments of a connect. `None` for a `socketcall` whose arguments are not there: they stand in memory.
#[inline(always)]
pub(crate) fn arguments(number: u32, registers: u64) -> Option<[u64; 3]> {
    let [first, second, third] = if number == CONNECT {
        [EBX, ECX, EDX].map(|register| memory::read_or_zero::<u32>(registers, register))
    } else {
        let pointer: u32 = memory::read_or_zero(registers, ECX);
        // SAFETY: the helper checks the user's pointer.
        unsafe { bpf_probe_read_user(with_exposed_provenance::<[u32; 3]>(pointer as usize)) }
            .ok()?
    };
    Some([first.into(), second.into(), third.into()])
}

/// The lower half of a register is what a 32-bit program has of it.
const EBX: u32 = offset_of!(pt_regs, rbx) as u32;
const ECX: u32 = offset_of!(pt_regs, rcx) as u32;
const EDX: u32 = offset_of!(pt_regs, rdx) as u32;

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

/// A register in the frame of a handler that returns by this 32-bit system call, with this stack pointer
/// (`arch/x86/include/asm/sigframe.h`, `arch/x86/include/uapi/asm/sigcontext.h`).
#[inline(always)]
pub(crate) fn in_frame(
    system_call: u32,
    stack_pointer: u64,
    register: FrameRegister,
) -> Option<u64> {
    // `sigreturn` finds a `sigcontext` there. Before that of `rt_sigreturn` stand the signal and two pointers, a
    // `siginfo` of 128 bytes, and the first 20 bytes of a `ucontext`.
    let context = if system_call == RT_SIGRETURN { 160 } else { 0 };
    let offset = match register {
        FrameRegister::StackPointer => 28,
        FrameRegister::Result => 44,
        FrameRegister::InstructionPointer => 56,
    };
    let place = with_exposed_provenance::<u32>((stack_pointer + context + offset) as usize);
    // SAFETY: the helper checks the user's pointer.
    let value = unsafe { bpf_probe_read_user(place) }.ok()?;
    Some(match register {
        FrameRegister::Result => i64::from(value.cast_signed()).cast_unsigned(),
        FrameRegister::StackPointer | FrameRegister::InstructionPointer => value.into(),
    })
}
