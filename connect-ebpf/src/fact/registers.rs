//! The registers that the current task saved when it entered the kernel, and those that it has left
//! in the frame of a signal handler.

use core::ptr::with_exposed_provenance;

use aya_ebpf::helpers::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_user, bpf_task_pt_regs,
};
use connect_ebpf::settings::{REGISTERS_BY_HELPER, REGISTERS_BY_STACK};

pub(crate) use super::saved_registers::{Place, SavedRegisters};
use super::{
    architecture::{
        self, SIGFRAME_INSTRUCTION_POINTER, SIGFRAME_RESULT, SIGFRAME_STACK_POINTER,
        SIGFRAME_SYSTEM_CALL, SYS_CONNECT, SYSCALL_LENGTH,
    },
    compat::{self, FrameRegister},
    setting::setting,
    task,
};

/// The current task's saved registers, where the kernel lets us.
#[inline(always)]
pub(crate) fn registers() -> Option<SavedRegisters> {
    match setting!(task_registers) {
        REGISTERS_BY_HELPER => Some(architecture::saved(place_by_helper())),
        REGISTERS_BY_STACK => {
            // SAFETY: no arguments.
            architecture::saved_on_stack(unsafe { bpf_get_current_task() })
        }
        _ => None,
    }
}

/// Where the current task saved its registers, where the kernel lets us know.
#[inline(always)]
pub(crate) fn place() -> Option<u64> {
    match setting!(task_registers) {
        REGISTERS_BY_HELPER => Some(place_by_helper()),
        REGISTERS_BY_STACK => {
            // SAFETY: no arguments.
            architecture::place_on_stack(unsafe { bpf_get_current_task() })
        }
        _ => None,
    }
}

#[inline(always)]
fn place_by_helper() -> u64 {
    // SAFETY: no arguments; the verifier knows what it returns.
    let task = unsafe { bpf_get_current_task_btf() };
    // SAFETY: `task` is the current task, straight from the helper.
    let registers = unsafe { bpf_task_pt_regs(task) };
    // The helper returns a pointer; its binding says `long`.
    registers.cast_unsigned()
}

/// What the interrupted code will find as the result of its system call when the handler that is
/// about to return has returned. A handler may have put something there, as one of SIGSYS does.
#[inline(always)]
pub(crate) fn result_after_handler(stack_pointer: u64) -> Option<i64> {
    sigframe(stack_pointer, SIGFRAME_RESULT, FrameRegister::Result).map(u64::cast_signed)
}

/// Where the interrupted code's stack will be when the handler that is about to return has returned.
#[inline(always)]
pub(crate) fn stack_pointer_after_handler(stack_pointer: u64) -> Option<u64> {
    sigframe(
        stack_pointer,
        SIGFRAME_STACK_POINTER,
        FrameRegister::StackPointer,
    )
}

/// Where a connect call returns that is restarted when the handler that is about to return has returned;
/// `None` if none is.
#[inline(always)]
pub(crate) fn restart_after_handler(stack_pointer: u64) -> Option<Place> {
    let system_call = sigframe(stack_pointer, SIGFRAME_SYSTEM_CALL, FrameRegister::Result)?;
    let connects = system_call.cast_signed() == SYS_CONNECT
        || (setting!(compat) != 0 && compat::may_connect(system_call as u32));
    if !connects {
        return None;
    }
    let made = instruction_after_handler(stack_pointer)?;
    Some(Place {
        stack_pointer: stack_pointer_after_handler(stack_pointer)?,
        instruction_pointer: made.wrapping_add(SYSCALL_LENGTH),
    })
}

/// Where the thread goes on when the handler that is about to return has returned.
#[inline(always)]
pub(crate) fn instruction_after_handler(stack_pointer: u64) -> Option<u64> {
    sigframe(
        stack_pointer,
        SIGFRAME_INSTRUCTION_POINTER,
        FrameRegister::InstructionPointer,
    )
}

#[inline(always)]
fn sigframe(stack_pointer: u64, offset: u64, register: FrameRegister) -> Option<u64> {
    if stack_pointer == 0 {
        return None;
    }
    if setting!(compat) != 0 && task::is_compat() {
        return compat::in_frame(compat::number(place()?), stack_pointer, register);
    }
    let register = with_exposed_provenance((stack_pointer + offset) as usize);
    // SAFETY: the helper checks the user's pointer.
    unsafe { bpf_probe_read_user(register) }.ok()
}
