//! Which ways into connect are seen, by which hooks, and why the others are not.
//!
//! `check`, the line at start-up and the `notice` event all say what stands here; the metrics
//! (`hook_attached`) say of each hook whether it is in place.

use std::borrow::Cow;

use connect_ebpf::attempt::ASSOCIATIONS_ENTRIES;
use serde::Serialize;

use crate::{
    attach::{
        hooks::{Hook, Way},
        selection::{Functions, Selection},
        survey::{Associations, IoUring, Outcomes, Survey},
    },
    observation::{Hooks, Means, Whom},
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
    /// Whose copy of the address is shown.
    #[serde(rename = "coverage.address")]
    pub address: Cow<'static, str>,
    /// Calls that a signal interrupts.
    #[serde(rename = "coverage.interruption")]
    pub interruption: Cow<'static, str>,
    /// What becomes of attempts that a call leaves unsettled.
    #[serde(rename = "coverage.outcome")]
    pub outcome: Cow<'static, str>,
    /// What becomes of the associations of datagram sockets.
    #[serde(rename = "coverage.association")]
    pub association: Cow<'static, str>,
}

/// How a sentence about something unseen begins.
const NOT_SEEN: &str = "not seen: ";

impl Coverage {
    /// What is seen by these means.
    #[must_use]
    pub fn of(survey: &Survey, functions: &Functions, means: Means) -> Self {
        let selection = Selection::of(survey, means, &Whom::Host);
        let hooks: Vec<_> = selection.hooks(functions).collect();
        Self {
            syscall: syscall(&hooks, means),
            compat: compat(&hooks, functions, survey, means),
            io_uring: io_uring(&hooks, survey, means),
            unknown: match &survey.outcomes {
                Outcomes::WithErrno(_) | Outcomes::WithoutErrno(_) => format!(
                    "seen: {}, of TCP what becomes of the attempt",
                    points(&hooks, Way::Attempt)
                )
                .into(),
                Outcomes::Off(why) => not_seen(why),
            },
            address: address(&hooks, functions),
            interruption: match survey.interruptions {
                Some(true) => format!("seen: {}", points(&hooks, Way::Interruption)).into(),
                Some(false) => {
                    "not seen: no signal:signal_deliver or syscalls:sys_enter_rt_sigreturn, \
                     so an interrupted call ends as ERESTARTSYS"
                        .into()
                }
                None => "seen if tracefs, which cannot be read now, has signal:signal_deliver".into(),
            },
            outcome: match &survey.outcomes {
                Outcomes::WithErrno(_) => format!(
                    "seen: {}, for TCP and the subflows of MPTCP; SCTP and others have no such states",
                    points(&hooks, Way::Attempt)
                )
                .into(),
                Outcomes::WithoutErrno(why) => format!(
                    "not seen: why an attempt fails, nor whether it was abandoned; every end but a \
                     connection is `failed`, and no transport is told: {why}"
                )
                .into(),
                Outcomes::Off(why) => not_seen(why),
            },
            association: association(&hooks, survey, means),
        }
    }

    /// Of a kernel of which nothing can be found out: why, as a sentence for each.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        let why = || Cow::Owned(why.to_owned());
        Self {
            syscall: why(),
            compat: why(),
            io_uring: why(),
            unknown: why(),
            address: why(),
            interruption: why(),
            outcome: why(),
            association: why(),
        }
    }

    /// Every sentence, by the name of what it is about.
    #[must_use]
    pub fn sentences(&self) -> [(&'static str, &str); 8] {
        [
            ("syscall", &self.syscall),
            ("compat", &self.compat),
            ("io_uring", &self.io_uring),
            ("unknown", &self.unknown),
            ("address", &self.address),
            ("interruption", &self.interruption),
            ("outcome", &self.outcome),
            ("association", &self.association),
        ]
    }

    /// The names of what is not seen.
    pub fn unseen(&self) -> impl Iterator<Item = &'static str> {
        self.sentences()
            .into_iter()
            .filter(|(_, sentence)| sentence.starts_with(NOT_SEEN))
            .map(|(name, _)| name)
    }
}

/// What is missing where this is not seen, in a few words.
#[must_use]
pub fn in_short(name: &str) -> &'static str {
    match name {
        "syscall" => "native calls",
        "compat" => "32-bit calls",
        "io_uring" => "connects by io_uring",
        "unknown" => "attempts that no call explains",
        "address" => "the kernel's own copy of addresses",
        "interruption" => "an interrupted call ends as ERESTARTSYS",
        "association" => "errors that come back to UDP",
        _ => "why an attempt fails",
    }
}

/// The points of the hooks that let us see this, in the order of attachment, each once.
fn points<'a>(hooks: impl IntoIterator<Item = &'a &'a Hook>, way: Way) -> String {
    let mut points: Vec<_> = hooks
        .into_iter()
        .filter(|hook| hook.sees.contains(&way))
        .map(|hook| hook.point.to_string())
        .collect();
    points.dedup();
    points.join(", ")
}

fn not_seen(why: &str) -> Cow<'static, str> {
    format!("{NOT_SEEN}{why}").into()
}

fn syscall(hooks: &[&Hook], means: Means) -> Cow<'static, str> {
    let (functions, tracepoints): (Vec<_>, Vec<_>) = hooks
        .iter()
        .partition(|hook| hook.point.function().is_some());
    let [functions, tracepoints] =
        [functions, tracepoints].map(|hooks| points(&hooks, Way::Syscall));
    if means.hooks == Hooks::Function {
        return format!(
            "seen: {functions}; not what seccomp denies, nor a call that was under way at the start"
        )
        .into();
    }
    if functions.is_empty() {
        format!("seen: {tracepoints}").into()
    } else {
        format!("seen: {tracepoints}, and for calls that the kernel skips there {functions}").into()
    }
}

/// What `--compat` is, to whoever may want it, with its price.
const COMPAT_OFFER: &str = "--compat shows them, and every system call of the host pays for it, more than for all \
                            other hooks";

fn compat(
    hooks: &[&Hook],
    functions: &Functions,
    survey: &Survey,
    means: Means,
) -> Cow<'static, str> {
    let seen = points(hooks, Way::Compat);
    let why = match functions {
        Functions::Attached if means.compat => {
            return format!("seen: {seen}; --compat changes nothing where functions show them")
                .into();
        }
        Functions::Attached => return format!("seen: {seen}").into(),
        _ if !seen.is_empty() => {
            return format!(
                "seen: {seen}, at a price that every system call of the host pays (--compat)"
            )
            .into();
        }
        Functions::Unwanted => String::new(),
        Functions::Refused(why) => format!(", and {why}"),
    };
    let offer = if survey.offsets().is_none() {
        "--compat needs the kernel's BTF"
    } else {
        COMPAT_OFFER
    };
    format!(
        "{NOT_SEEN}32-bit system calls pass no tracepoint of their own{why}; {offer}; of TCP, `unknown` tells \
         what becomes of the attempt"
    )
    .into()
}

fn io_uring(hooks: &[&Hook], survey: &Survey, means: Means) -> Cow<'static, str> {
    if let IoUring::Off(why) = &survey.io_uring {
        return not_seen(why);
    }
    if !means.io_uring {
        return not_seen("--skip-io-uring");
    }
    // Attached ends first, and read beginnings first.
    let mut seen = format!("seen: {}", points(hooks.iter().rev(), Way::IoUring));
    if let IoUring::Plain(layout) = &survey.io_uring {
        if layout.failed_opcode == 0 {
            seen.push_str("; not what is refused before it is submitted");
        }
        if layout.complete_req == 0 {
            seen.push_str("; requests of one ring are told apart by their user_data only");
        }
    }
    seen.into()
}

fn association(hooks: &[&Hook], survey: &Survey, means: Means) -> Cow<'static, str> {
    match &survey.associations {
        Associations::Seen if means.sockets => format!(
            "seen: {}, the first error that comes back to a connected datagram socket, of the {ASSOCIATIONS_ENTRIES} \
             that were connected last",
            points(hooks, Way::Association)
        )
        .into(),
        Associations::Seen => not_seen("--skip-socket"),
        Associations::Off(why) => not_seen(&format!(
            "whether anybody is there to whom a datagram socket is connected: {why}"
        )),
    }
}

fn address(hooks: &[&Hook], functions: &Functions) -> Cow<'static, str> {
    match functions {
        Functions::Attached => {
            format!("seen: {}, the kernel's own copy", points(hooks, Way::Address)).into()
        }
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
