//! 64-bit Arm: system calls that are made by hand, and the registers of a thread that a signal has
//! interrupted. Every processor has the same items.

use std::arch::{asm, naked_asm};

use libc::ucontext_t;

use super::landing::{LANDED, Landing};

/// mov x8, #203; svc #0; ret
pub(crate) const CONNECT_CODE: [u8; 12] = [
    0x68, 0x19, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xc0, 0x03, 0x5f, 0xd6,
];

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
            "blr {code}",
            code = in(reg) code,
            inlateout("x0") fd => result,
            in("x1") pointer,
            in("x2") addrlen,
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
        "stp x29, x30, [sp, #-160]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "adr x10, 2f",
        "stp x9, x10, [x3]",
        "mov x8, #{connect}",
        "svc #0",
        "2:",
        "ldp d14, d15, [sp, #144]",
        "ldp d12, d13, [sp, #128]",
        "ldp d10, d11, [sp, #112]",
        "ldp d8, d9, [sp, #96]",
        "ldp x27, x28, [sp, #80]",
        "ldp x25, x26, [sp, #64]",
        "ldp x23, x24, [sp, #48]",
        "ldp x21, x22, [sp, #32]",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #160",
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
        "ldp x9, x10, [x0]",
        "mov sp, x9",
        "mov x0, #-{landed}",
        "br x10",
        landed = const LANDED,
    )
}

/// What the interrupted code finds as the result of its system call.
pub(crate) const fn set_result(context: &mut ucontext_t, result: i64) {
    context.uc_mcontext.regs[0] = result.cast_unsigned();
}

/// Where the interrupted code's stack is.
pub(crate) const fn set_stack_pointer(context: &mut ucontext_t, pointer: u64) {
    context.uc_mcontext.sp = pointer;
}

/// Where the interrupted code goes on.
pub(crate) const fn set_instruction_pointer(context: &mut ucontext_t, pointer: u64) {
    context.uc_mcontext.pc = pointer;
}
