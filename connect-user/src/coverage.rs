//! Which ways into connect are seen, and why the others are not. `check`, the line at start-up and
//! the `notice` event all say what stands here.

use std::borrow::Cow;

use serde::Serialize;

use crate::attach::Outcomes;

/// One sentence per way into connect, and per thing that may be cut short.
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
    /// Calls that a signal interrupts.
    #[serde(rename = "coverage.interruption")]
    pub interruption: &'static str,
    /// What becomes of attempts that a call leaves unsettled.
    #[serde(rename = "coverage.outcome")]
    pub outcome: Cow<'static, str>,
}

/// How a sentence about something unseen begins.
const NOT_SEEN: &str = "not seen: ";

impl Coverage {
    /// What the tracepoints see. `interruptions`: whether the ones on signals are there, if known.
    #[must_use]
    pub fn of(interruptions: Option<bool>, outcomes: &Outcomes) -> Self {
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
            outcome: match outcomes {
                Outcomes::WithErrno(_) => {
                    "seen: sock:inet_sock_set_state, for TCP and the subflows \
                     of MPTCP; SCTP and others have no such states"
                        .into()
                }
                Outcomes::WithoutErrno(why) => format!(
                    "not seen: why an attempt fails, nor whether it was abandoned; every end but a \
                     connection is `failed`, and no transport is told: {why}"
                )
                .into(),
                Outcomes::Off(why) => format!("not seen: {why}").into(),
            },
        }
    }

    /// Every sentence, by the name of what it is about.
    #[must_use]
    pub fn sentences(&self) -> [(&'static str, &str); 5] {
        [
            ("syscall", self.syscall),
            ("compat", self.compat),
            ("io_uring", self.io_uring),
            ("interruption", self.interruption),
            ("outcome", &self.outcome),
        ]
    }

    /// What is not seen, and why.
    pub fn unseen(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.sentences()
            .into_iter()
            .filter_map(|(name, sentence)| Some((name, sentence.strip_prefix(NOT_SEEN)?)))
    }
}
