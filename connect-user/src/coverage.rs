//! Which ways into connect are seen, and why the others are not. `check`, the line at start-up and
//! the `notice` event all say what stands here.

use serde::Serialize;

/// One sentence per way into connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The native `connect` system call.
    #[serde(rename = "coverage.syscall")]
    pub syscall: &'static str,
    /// The `connect` and `socketcall` system calls of 32-bit programs.
    #[serde(rename = "coverage.compat")]
    pub compat: &'static str,
    /// `IORING_OP_CONNECT`.
    #[serde(rename = "coverage.io_uring")]
    pub io_uring: &'static str,
}

impl Coverage {
    /// What the system call tracepoints see, which is the same on every kernel.
    #[must_use]
    pub const fn of_tracepoints() -> Self {
        Self {
            syscall: "seen: syscalls:sys_enter_connect, syscalls:sys_exit_connect",
            compat: "not seen: 32-bit system calls do not pass the system call tracepoints",
            io_uring: "not seen: io_uring makes no system call to connect",
        }
    }

    /// The ways, by the name that `via` has in an event.
    #[must_use]
    pub const fn ways(&self) -> [(&'static str, &'static str); 3] {
        [
            ("syscall", self.syscall),
            ("compat", self.compat),
            ("io_uring", self.io_uring),
        ]
    }
}
