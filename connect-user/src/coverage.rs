//! Which ways into connect are seen, and why the others are not. `check`, the line at start-up and
//! the `notice` event all say what stands here; what it says of hooks, the metrics say too.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    attach::{Functions, IoUring, Outcomes, Survey, btf::RT_SIGRETURN},
    cli::{Hooks, Means},
};

/// One sentence per way into connect, as `via` calls it, and per thing that may be cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The native `connect` system call.
    #[serde(rename = "coverage.syscall")]
    pub syscall: Cow<'static, str>,
    /// The `connect` and `socketcall` system calls of 32-bit programs.
    #[serde(rename = "coverage.compat")]
    pub compat: Cow<'static, str>,
    /// `IORING_OP_CONNECT`.
    #[serde(rename = "coverage.io_uring")]
    pub io_uring: Cow<'static, str>,
    /// Attempts that no call explains: `MSG_FASTOPEN`, the kernel's own, and whatever else is not seen.
    #[serde(rename = "coverage.unknown")]
    pub unknown: Cow<'static, str>,
    /// Whose copy of the address is told.
    #[serde(rename = "coverage.address")]
    pub address: Cow<'static, str>,
    /// Calls that a signal interrupts.
    #[serde(rename = "coverage.interruption")]
    pub interruption: Cow<'static, str>,
    /// What becomes of attempts that a call leaves unsettled.
    #[serde(rename = "coverage.outcome")]
    pub outcome: Cow<'static, str>,
}

/// How a sentence about something unseen begins.
const NOT_SEEN: &str = "not seen: ";

impl Coverage {
    /// What is seen by these means.
    #[must_use]
    pub fn of(survey: &Survey, functions: &Functions, means: &Means) -> Self {
        Self {
            syscall: match (means.hooks, functions) {
                (Hooks::Function, _) => {
                    "seen: fentry:__sys_connect, fexit:__sys_connect; not what seccomp denies, nor a \
                     call that was under way at the start"
                }
                (_, Functions::Attached) => {
                    "seen: syscalls:sys_enter_connect, syscalls:sys_exit_connect, and for calls that \
                     the kernel skips there fentry:__sys_connect, fexit:__sys_connect"
                }
                _ => "seen: syscalls:sys_enter_connect, syscalls:sys_exit_connect",
            }
            .into(),
            compat: compat(functions),
            io_uring: io_uring(survey, means),
            unknown: match &survey.outcomes {
                Outcomes::WithErrno(_) | Outcomes::WithoutErrno(_) => {
                    "seen: sock:inet_sock_set_state, of TCP what becomes of the attempt".into()
                }
                Outcomes::Off(why) => format!("not seen: {why}").into(),
            },
            address: address(functions),
            interruption: match survey.interruptions {
                Some(true) if means.hooks == Hooks::Function => {
                    format!("seen: signal:signal_deliver, fentry:{RT_SIGRETURN}").into()
                }
                Some(true) if *functions == Functions::Attached => format!(
                    "seen: signal:signal_deliver, syscalls:sys_enter_rt_sigreturn, fentry:{RT_SIGRETURN}"
                )
                .into(),
                Some(true) => "seen: signal:signal_deliver, syscalls:sys_enter_rt_sigreturn".into(),
                Some(false) => {
                    "not seen: no signal:signal_deliver or syscalls:sys_enter_rt_sigreturn, \
                     so an interrupted call ends as ERESTARTSYS"
                        .into()
                }
                None => "seen if tracefs, which cannot be read now, has signal:signal_deliver".into(),
            },
            outcome: match &survey.outcomes {
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
    pub fn sentences(&self) -> [(&'static str, &str); 7] {
        [
            ("syscall", &self.syscall),
            ("compat", &self.compat),
            ("io_uring", &self.io_uring),
            ("unknown", &self.unknown),
            ("address", &self.address),
            ("interruption", &self.interruption),
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

fn compat(functions: &Functions) -> Cow<'static, str> {
    match functions {
        Functions::Attached => "seen: fentry:__sys_connect, fexit:__sys_connect".into(),
        Functions::Unwanted => {
            "not seen: 32-bit system calls pass no tracepoint; of TCP, `unknown` tells what becomes of \
             the attempt"
                .into()
        }
        Functions::Refused(why) => format!(
            "not seen: 32-bit system calls pass no tracepoint, and {why}; of TCP, `unknown` tells what \
             becomes of the attempt"
        )
        .into(),
    }
}

fn io_uring(survey: &Survey, means: &Means) -> Cow<'static, str> {
    match &survey.io_uring {
        IoUring::Off(why) => format!("not seen: {why}").into(),
        _ if means.skip_io_uring => "not seen: --skip-io-uring".into(),
        IoUring::Raw(raw) => format!(
            "seen: io_uring:{}, io_uring:io_uring_complete, io_uring:io_uring_req_failed",
            raw.submit
        )
        .into(),
        IoUring::Plain(layout) => {
            let mut seen =
                String::from("seen: io_uring:io_uring_submit_sqe, io_uring:io_uring_complete");
            for (is_there, name) in [
                (layout.file_get_fd != 0, "file_get"),
                (layout.failed_opcode != 0, "req_failed"),
            ] {
                if is_there {
                    seen.extend([", io_uring:io_uring_", name]);
                }
            }
            if layout.failed_opcode == 0 {
                seen.push_str("; not what is refused before it is submitted");
            }
            if layout.complete_req == 0 {
                seen.push_str("; requests of one ring are told apart by their user_data only");
            }
            seen.into()
        }
    }
}

fn address(functions: &Functions) -> Cow<'static, str> {
    match functions {
        Functions::Attached => "seen: fentry:__sys_connect_file, the kernel's own copy".into(),
        Functions::Unwanted => "not seen: the kernel's own copy: a thread that rewrites the address \
                                during the call can have us tell another"
            .into(),
        Functions::Refused(why) => format!(
            "not seen: the kernel's own copy, as {why}: a thread that rewrites the address during the \
             call can have us tell another"
        )
        .into(),
    }
}
