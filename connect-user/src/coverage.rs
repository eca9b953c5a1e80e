//! Which ways into connect are seen, and why the others are not. `check`, the line at start-up and
//! the `notice` event all say what stands here.

use serde::Serialize;

/// One sentence per way into connect, and per thing that may be cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// Calls that a signal interrupts.
    #[serde(rename = "coverage.interruption")]
    pub interruption: &'static str,
}

/// How a sentence about something unseen begins.
const NOT_SEEN: &str = "not seen: ";

impl Coverage {
    /// What the tracepoints see. `interruptions`: whether the ones on signals are there, if known.
    #[must_use]
    pub const fn of_tracepoints(interruptions: Option<bool>) -> Self {
        Self {
            syscall: "seen: syscalls:sys_enter_connect, syscalls:sys_exit_connect",
            compat: "not seen: 32-bit system calls do not pass the system call tracepoints",
            io_uring: "not seen: io_uring makes no system call to connect",
            interruption: match interruptions {
                Some(true) => "seen: signal:signal_deliver, syscalls:sys_enter_rt_sigreturn",
                Some(false) => {
                    "not seen: no signal:signal_deliver or syscalls:sys_enter_rt_sigreturn, \
                     so an interrupted call ends as ERESTARTSYS"
                }
                None => "seen if tracefs, which cannot be read now, has signal:signal_deliver",
            },
        }
    }

    /// Every sentence, by the name of what it is about.
    #[must_use]
    pub const fn sentences(&self) -> [(&'static str, &'static str); 4] {
        [
            ("syscall", self.syscall),
            ("compat", self.compat),
            ("io_uring", self.io_uring),
            ("interruption", self.interruption),
        ]
    }

    /// What is not seen, and why.
    pub fn unseen(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.sentences()
            .into_iter()
            .filter_map(|(name, sentence)| Some((name, sentence.strip_prefix(NOT_SEEN)?)))
    }
}
