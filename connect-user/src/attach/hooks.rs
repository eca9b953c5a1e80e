//! The one table of hooks: what runs where in the kernel, in the order of attachment.
//!
//! Attaching, the survey of the kernel, the coverage, the health of each hook and the programs whose missed
//! runs may be missed calls all derive from it; a test holds it against the kernel object. To add a hook,
//! add a row.
//!
//! The order: what follows a call comes before what begins one, so that nothing is followed by half. Of io_uring
//! the end comes before the beginning, as an end without a beginning is ignored; of a system call the entry
//! comes before the return, as a return without an entry is reported, with less. Hooks are detached in
//! reverse: first all that report calls, then what follows them.

use std::fmt;

use crate::host::tracefs::Tracepoint;

/// A program of the kernel object, and the point in the kernel where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What it is attached together with.
    pub group: Group,
    /// Name of the program in the kernel object.
    pub program: &'static str,
    /// Where it runs.
    pub point: Point,
    /// What it lets us see.
    pub sees: &'static [Way],
    /// Of which records one is missing if the kernel does not run it.
    pub records: Records,
}

/// Hooks that are attached together or not at all, in the order of attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What a signal does to a call that it interrupts. Without these and [`Self::HandlerReturns`], what
    /// becomes of an interrupted call is unknown.
    Signals,
    /// [`Self::Signals`] where the kernel's BTF does not say where an action has its fields.
    SignalsPlain,
    /// That a signal handler returns.
    HandlerReturns,
    /// What becomes of attempts: raw, as it must also run while another program runs; and in two programs, as
    /// neither runs while it runs already on its CPU.
    Attempts,
    /// [`Self::Attempts`] without errno, where the kernel's BTF does not say where the socket has it.
    AttemptsPlain,
    /// Errors that come back to connected datagram sockets.
    Associations,
    /// Forgets threads.
    Lifetime,
    /// Forgets threads whose end the kernel has not shown.
    LifetimeAgain,
    /// Follows descendants. Attached only where a command is observed: it taxes every fork.
    Lineage,
    /// [`Self::Lineage`] once more, for forks that the kernel does not show there.
    LineageAgain,
    /// [`Self::Lineage`] where the kernel's BTF does not say where a task has its id.
    LineagePlain,
    /// Connects of io_uring, by raw tracepoints.
    IoUring,
    /// A submission to io_uring, from kernel 6.4 on.
    IoUringSubmit,
    /// A submission to io_uring, before kernel 6.4.
    IoUringSubmitOld,
    /// Requests that io_uring refuses before they are submitted, as tracefs describes them.
    IoUringFailedPlain,
    /// Which descriptor a request has, where the kernel does not keep it.
    IoUringFile,
    /// Connects of io_uring, as tracefs describes them.
    IoUringPlain,
    /// The kernel's functions: 32-bit calls, the kernel's copy of the address, native calls whose tracepoints the
    /// kernel skips.
    Functions,
    /// 32-bit calls, among all system calls of the host: instead of [`Self::Functions`], and only where asked for.
    Compat,
    /// The native system call.
    Syscall,
}

impl Group {
    /// Whether its hooks report calls, and not what becomes of them.
    #[must_use]
    pub fn reports_calls(self) -> bool {
        self >= Self::IoUring
    }
}

/// A point in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A tracepoint, through perf.
    Plain(Tracepoint),
    /// A tracepoint, directly.
    Raw(Tracepoint),
    /// The beginning of a function.
    Entry(&'static str),
    /// The end of a function.
    Exit(&'static str),
}

impl Point {
    /// Its name in metrics: the tracepoint's, or the function's behind `fentry:` or `fexit:`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Plain(tracepoint) | Self::Raw(tracepoint) => tracepoint.name.to_owned(),
            Self::Entry(_) | Self::Exit(_) => self.to_string(),
        }
    }

    /// The function whose beginning or end it is.
    #[must_use]
    pub const fn function(self) -> Option<&'static str> {
        match self {
            Self::Plain(_) | Self::Raw(_) => None,
            Self::Entry(function) | Self::Exit(function) => Some(function),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(tracepoint) | Self::Raw(tracepoint) => tracepoint.fmt(f),
            Self::Entry(function) => write!(f, "fentry:{function}"),
            Self::Exit(function) => write!(f, "fexit:{function}"),
        }
    }
}

/// What a hook lets us see: what the coverage has a sentence about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Native calls.
    Syscall,
    /// 32-bit calls.
    Compat,
    /// Calls by io_uring.
    IoUring,
    /// The kernel's own copy of the address.
    Address,
    /// What becomes of calls that a signal interrupts.
    Interruption,
    /// What becomes of attempts, also of those that no call explains.
    Attempt,
    /// What becomes of the associations of datagram sockets.
    Association,
}

/// Records that a program makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// None; or it runs for so much else that a run that the kernel skips says nothing about a record.
    No,
    /// Of native calls.
    Native,
    /// Of native calls where they have no tracepoints; otherwise it has nothing to do for most calls.
    NativeInstead,
    /// Of calls that have no second hook which could report them.
    Others,
    /// Of all calls of a task, if every hook misses its beginning.
    OfTask,
}

/// Where a fork has the child's thread id.
pub const FORK: Tracepoint = tracepoint("sched", "sched_process_fork");
/// Where a delivered signal has its handler and flags.
pub const SIGNAL_DELIVER: Tracepoint = tracepoint("signal", "signal_deliver");
/// That a signal handler returns.
pub const RT_SIGRETURN: Tracepoint = tracepoint("syscalls", "sys_enter_rt_sigreturn");
/// Every change of a TCP socket's state.
pub const SET_STATE: Tracepoint = tracepoint("sock", "inet_sock_set_state");
/// An error comes back to a socket, from kernel 5.14 on.
pub const SK_ERROR_REPORT: Tracepoint = tracepoint("sock", "inet_sk_error_report");
/// That a native call returns.
pub const EXIT_CONNECT: Tracepoint = tracepoint("syscalls", "sys_exit_connect");
/// A submission to io_uring, from kernel 6.4 on.
pub const SUBMIT_REQ: Tracepoint = tracepoint("io_uring", "io_uring_submit_req");
/// A submission to io_uring, before kernel 6.4.
pub const SUBMIT_SQE: Tracepoint = tracepoint("io_uring", "io_uring_submit_sqe");
/// A completion of io_uring.
pub const COMPLETE: Tracepoint = tracepoint("io_uring", "io_uring_complete");
/// A request that io_uring refuses before it is submitted.
pub const REQ_FAILED: Tracepoint = tracepoint("io_uring", "io_uring_req_failed");
/// That io_uring looks up a descriptor.
pub const FILE_GET: Tracepoint = tracepoint("io_uring", "io_uring_file_get");

/// The function behind `rt_sigreturn(2)`, which the kernel's `SYSCALL_DEFINE0` makes: of its own on
/// x86-64, the system call's entry on 64-bit Arm.
const RT_SIGRETURN_FUNCTION: &str = if cfg!(target_arch = "aarch64") {
    "__arm64_sys_rt_sigreturn"
} else {
    "__do_sys_rt_sigreturn"
};

/// The table.
#[rustfmt::skip]
pub const HOOKS: &[Hook] = &[
    row(Group::Signals, "signal_deliver", Point::Raw(SIGNAL_DELIVER), &[Way::Interruption], Records::No),
    row(Group::SignalsPlain, "signal_deliver_plain", Point::Plain(SIGNAL_DELIVER), &[Way::Interruption], Records::No),
    row(Group::HandlerReturns, "sys_enter_rt_sigreturn", Point::Plain(RT_SIGRETURN), &[Way::Interruption], Records::No),

    row(Group::Attempts, "inet_sock_set_state_settle", Point::Raw(SET_STATE), &[Way::Attempt], Records::No),
    row(Group::Attempts, "inet_sock_set_state_begin", Point::Raw(SET_STATE), &[Way::Attempt], Records::No),
    row(Group::AttemptsPlain, "inet_sock_set_state_without_errno", Point::Plain(SET_STATE), &[Way::Attempt], Records::No),

    row(Group::Associations, "inet_sk_error_report", Point::Raw(SK_ERROR_REPORT), &[Way::Association], Records::No),

    row(Group::Lifetime, "sched_process_exit", Point::Raw(tracepoint("sched", "sched_process_exit")), &[], Records::No),
    row(Group::Lifetime, "sched_process_exec", Point::Raw(tracepoint("sched", "sched_process_exec")), &[], Records::No),
    row(Group::LifetimeAgain, "sched_process_free", Point::Raw(tracepoint("sched", "sched_process_free")), &[], Records::No),
    row(Group::Lineage, "sched_process_fork", Point::Raw(FORK), &[], Records::OfTask),
    row(Group::LineageAgain, "sched_process_fork_again", Point::Raw(FORK), &[], Records::OfTask),
    row(Group::LineagePlain, "sched_process_fork_plain", Point::Plain(FORK), &[], Records::OfTask),

    row(Group::IoUring, "io_uring_req_failed", Point::Raw(REQ_FAILED), &[Way::IoUring], Records::Others),
    row(Group::IoUring, "io_uring_complete", Point::Raw(COMPLETE), &[Way::IoUring], Records::Others),
    row(Group::IoUringSubmit, "io_uring_submit", Point::Raw(SUBMIT_REQ), &[Way::IoUring], Records::Others),
    row(Group::IoUringSubmitOld, "io_uring_submit", Point::Raw(SUBMIT_SQE), &[Way::IoUring], Records::Others),
    row(Group::IoUringFailedPlain, "io_uring_req_failed_plain", Point::Plain(REQ_FAILED), &[Way::IoUring], Records::Others),
    row(Group::IoUringFile, "io_uring_file_get", Point::Plain(FILE_GET), &[Way::IoUring], Records::Others),
    row(Group::IoUringPlain, "io_uring_complete_plain", Point::Plain(COMPLETE), &[Way::IoUring], Records::Others),
    row(Group::IoUringPlain, "io_uring_submit_plain", Point::Plain(SUBMIT_SQE), &[Way::IoUring], Records::Others),

    row(Group::Functions, "sys_connect_file", Point::Entry("__sys_connect_file"), &[Way::Address], Records::No),
    row(Group::Functions, "sys_rt_sigreturn", Point::Entry(RT_SIGRETURN_FUNCTION), &[Way::Interruption], Records::No),
    row(Group::Functions, "sys_connect_entry", Point::Entry("__sys_connect"), &[Way::Syscall, Way::Compat], Records::No),
    row(Group::Functions, "sys_connect_exit", Point::Exit("__sys_connect"), &[Way::Syscall, Way::Compat], Records::NativeInstead),

    row(Group::Compat, "sys_enter_compat", Point::Raw(tracepoint("raw_syscalls", "sys_enter")), &[Way::Compat], Records::No),
    row(Group::Compat, "sys_exit_compat", Point::Raw(tracepoint("raw_syscalls", "sys_exit")), &[Way::Compat], Records::No),

    row(Group::Syscall, "sys_enter_connect", Point::Plain(tracepoint("syscalls", "sys_enter_connect")), &[Way::Syscall], Records::No),
    row(Group::Syscall, "sys_exit_connect", Point::Plain(EXIT_CONNECT), &[Way::Syscall], Records::Native),
];

/// The hooks of a group, in the order of attachment.
pub fn of(group: Group) -> impl Iterator<Item = &'static Hook> {
    HOOKS.iter().filter(move |hook| hook.group == group)
}

/// Every function that a hook is put on, once.
#[must_use]
pub fn functions() -> Vec<&'static str> {
    let mut functions: Vec<_> = HOOKS
        .iter()
        .filter_map(|hook| hook.point.function())
        .collect();
    functions.sort_unstable();
    functions.dedup();
    functions
}

const fn row(
    group: Group,
    program: &'static str,
    point: Point,
    sees: &'static [Way],
    records: Records,
) -> Hook {
    Hook {
        group,
        program,
        point,
        sees,
        records,
    }
}

const fn tracepoint(category: &'static str, name: &'static str) -> Tracepoint {
    Tracepoint { category, name }
}

#[cfg(test)]
#[expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]
mod tests {
    use std::collections::BTreeSet;

    use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

    use super::super::object::OBJECT;
    use super::*;

    /// The section in which aya-ebpf's macros put a program for this point. The kernel object is one for
    /// every processor, so a function has its name on x86-64 there.
    fn section(point: Point) -> String {
        let function = |name: &str| name.replace("__arm64_sys_", "__do_sys_");
        match point {
            Point::Plain(Tracepoint { category, name }) => format!("tracepoint/{category}/{name}"),
            Point::Raw(tracepoint) => format!("raw_tp/{}", tracepoint.name),
            Point::Entry(name) => format!("fentry/{}", function(name)),
            Point::Exit(name) => format!("fexit/{}", function(name)),
        }
    }

    /// The part of a section's name that says what kind of program it holds.
    fn kind(section: &str) -> &str {
        section.split('/').next().unwrap()
    }

    /// Programs of the kernel object, and their sections.
    fn programs() -> BTreeSet<(String, String)> {
        let object = object::File::parse(OBJECT).unwrap();
        object
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global())
            .filter_map(|symbol| {
                let section = object.section_by_index(symbol.section_index()?).ok()?;
                let section = section.name().ok()?.to_owned();
                // Functions that programs call are in `.text`.
                (!section.starts_with('.')).then(|| (symbol.name().unwrap().to_owned(), section))
            })
            .collect()
    }

    #[test]
    fn every_program_of_the_kernel_object_has_a_row() {
        let programs = programs();
        assert!(!programs.is_empty());
        for (program, section) in &programs {
            let mut rows = HOOKS.iter().filter(|hook| hook.program == *program);
            assert!(
                rows.any(|hook| self::section(hook.point) == *section),
                "{program} in section {section}"
            );
        }
    }

    #[test]
    fn every_row_has_a_program_of_its_kind() {
        let programs = programs();
        for hook in HOOKS {
            let found = programs.iter().find(|(program, _)| program == hook.program);
            let (_, section) = found.expect(hook.program);
            let expected = self::section(hook.point);
            assert_eq!(kind(section), kind(&expected), "{}", hook.program);
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_attachment() {
        assert!(HOOKS.is_sorted_by_key(|hook| hook.group));
    }
}
