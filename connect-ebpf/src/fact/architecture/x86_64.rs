//! x86-64: where a task saves its registers, and how a system call is made, taken back and made again.
//! Every processor has the same items.

use core::mem::offset_of;

use aya_ebpf::{bindings::pt_regs, helpers::bpf_get_current_task};

use crate::fact::{
    compat, memory,
    saved_registers::{Place, SavedRegisters},
    setting::setting,
};

/// Number of the connect system call (`arch/x86/entry/syscalls/syscall_64.tbl`).
pub(crate) const SYS_CONNECT: i64 = 42;

/// Size of the instruction that makes a system call, which a restart makes again, in bytes.
pub(crate) const SYSCALL_LENGTH: u64 = 2;

/// Whether the saved registers show, when a handler is about to begin, that an earlier signal has
/// decided for a restart.
pub(crate) const SHOWS_DECISION: bool = true;

/// Where `rt_sigreturn(2)` finds the registers that it restores, from the stack pointer on, in
/// bytes: `uc_mcontext.ax`, `.sp` and `.ip` (`arch/x86/include/uapi/asm/sigcontext.h`).
pub(crate) const SIGFRAME_RESULT: u64 = 144;
/// See [`SIGFRAME_RESULT`].
pub(crate) const SIGFRAME_STACK_POINTER: u64 = 160;
/// See [`SIGFRAME_RESULT`].
pub(crate) const SIGFRAME_INSTRUCTION_POINTER: u64 = 168;
/// The number of a system call that is made again: where its result would be.
pub(crate) const SIGFRAME_SYSTEM_CALL: u64 = SIGFRAME_RESULT;

/// `TS_COMPAT` (`arch/x86/include/asm/thread_info.h`): a 32-bit system call is under way.
const COMPAT: u32 = 2;

/// Whether this task is in a 32-bit system call.
#[inline(always)]
pub(crate) fn is_compat(task: u64) -> bool {
    // What a task begins with (`CONFIG_THREAD_INFO_IN_TASK`).
    memory::field::<u32>(task, setting!(offsets.thread_info_status))
        .is_some_and(|status| status & COMPAT != 0)
}

/// Whether a denied call, which returns this, has been taken back for a signal to decide
/// (`syscall_rollback`): its result is its number again.
#[inline(always)]
pub(crate) fn is_taken_back(
    ret: i64,
    _fd: Option<i32>,
    _is_interrupted: impl FnOnce() -> bool,
) -> bool {
    ret == SYS_CONNECT
        || (setting!(compat) != 0
            && compat::may_connect(ret.cast_unsigned() as u32)
            // SAFETY: no arguments.
            && is_compat(unsafe { bpf_get_current_task() }))
}

/// From `rax` to `rsp` of `struct pt_regs` (`arch/x86/include/asm/ptrace.h`): half of it, as the stack
/// is small.
type Registers = [u64; 10];

/// Where that half begins, in bytes.
const FIRST: u32 = offset_of!(pt_regs, rax) as u32;

const _: () = assert!(
    offset_of!(pt_regs, rsp) + size_of::<u64>()
        == offset_of!(pt_regs, rax) + size_of::<Registers>()
);

/// The registers that stand here.
#[inline(always)]
pub(crate) fn saved(pt_regs: u64) -> SavedRegisters {
    named(memory::read_or_zero(pt_regs, FIRST))
}

/// Size of a task's stack in the kernel (`THREAD_SIZE` in `arch/x86/include/asm/page_64_types.h`), of one
/// without KASAN.
const STACK_SIZE: u64 = 16 << 10;

/// Segment selectors of user space (`arch/x86/include/asm/segment.h`).
const USER_CS: u64 = 0x33;
const USER32_CS: u64 = 0x23;

/// Where this task saved its registers: at the very end of its stack.
#[inline(always)]
pub(crate) fn place_on_stack(task: u64) -> Option<u64> {
    let stack: u64 = memory::field(task, setting!(offsets.task_stack))?;
    let end = stack.wrapping_add(STACK_SIZE);
    Some(end.wrapping_sub(size_of::<pt_regs>() as u64))
}

/// The registers that this task saved there.
#[inline(always)]
pub(crate) fn saved_on_stack(task: u64) -> Option<SavedRegisters> {
    let registers = memory::read(place_on_stack(task)?, FIRST)?;
    let [_, _, _, _, _, _, _, cs, ..]: Registers = registers;
    // Of a task in user space; anything else stands there if the stack has another size.
    matches!(cs, USER_CS | USER32_CS).then(|| named(registers))
}

/// System V ABI, system calls: rdi, rsi, rdx.
#[inline(always)]
const fn named(registers: Registers) -> SavedRegisters {
    let [rax, _, rdx, rsi, rdi, orig_rax, rip, _, _, rsp] = registers;
    SavedRegisters {
        system_call: orig_rax.cast_signed(),
        arguments: [rdi, rsi, rdx],
        result: rax.cast_signed(),
        place: Place {
            stack_pointer: rsp,
            instruction_pointer: rip,
        },
    }
}
