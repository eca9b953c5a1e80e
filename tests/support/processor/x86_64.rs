//! x86-64: system calls that are made by hand, and the registers of a thread that a signal has
//! interrupted. Every processor has the same items.

use std::arch::{asm, naked_asm};

use libc::{REG_RAX, REG_RIP, REG_RSP, ucontext_t};

use super::landing::{LANDED, Landing};

/// mov eax, 42; syscall; ret
pub(crate) const CONNECT_CODE: [u8; 8] = [0xb8, 42, 0, 0, 0, 0x0f, 0x05, 0xc3];

/// connect(2) by [`CONNECT_CODE`], which stands there. Returns what the kernel returns.
///
/// # Safety
///
/// It stands there, and can be executed, or a handler makes it so.
pub(crate) unsafe fn connect_by(code: usize, fd: u64, pointer: u64, addrlen: u64) -> i64 {
    let result: i64;
    // SAFETY: the code there is a function that makes a system call, which only reads.
    unsafe {
        asm!(
            "call {code}",
            code = in(reg) code,
            in("rdi") fd,
            in("rsi") pointer,
            in("rdx") addrlen,
            lateout("rax") result,
            clobber_abi("C"),
        );
    }
    result
}

/// connect(2). Returns what the kernel returns, or -[`LANDED`] after [`land`].
#[unsafe(naked)]
pub(crate) extern "C" fn connect_or_land(
    fd: u64,
    pointer: u64,
    addrlen: u64,
    landing: &Landing,
) -> i64 {
    naked_asm!(
        // What a function has to preserve; the kernel preserves it too, but the handler, which is
        // left in the middle, does not.
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rcx], rsp",
        "lea rax, [rip + 2f]",
        "mov [rcx + 8], rax",
        "mov eax, {connect}",
        "syscall",
        "2:",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        connect = const libc::SYS_connect,
    )
}

/// Leaves everything below the [`connect_or_land`] that has filled `landing`.
///
/// # Safety
///
/// What stands on the stack there does not need to be dropped.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn land(landing: &Landing) -> ! {
    naked_asm!(
        "mov rsp, [rdi]",
        "mov rax, -{landed}",
        "jmp [rdi + 8]",
        landed = const LANDED,
    )
}

/// What the interrupted code finds as the result of its system call.
pub(crate) const fn set_result(context: &mut ucontext_t, result: i64) {
    context.uc_mcontext.gregs[REG_RAX as usize] = result;
}

/// Where the interrupted code's stack is.
pub(crate) const fn set_stack_pointer(context: &mut ucontext_t, pointer: u64) {
    context.uc_mcontext.gregs[REG_RSP as usize] = pointer.cast_signed();
}

/// Where the interrupted code goes on.
pub(crate) const fn set_instruction_pointer(context: &mut ucontext_t, pointer: u64) {
    context.uc_mcontext.gregs[REG_RIP as usize] = pointer.cast_signed();
}
