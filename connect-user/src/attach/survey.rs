//! What this kernel lets us see, found out before anything is attached.

use aya::{programs::ProgramType, sys::is_program_supported};
use connect_ebpf::settings::{IoUringLayout, Offsets};

use super::{
    INET_SOCK_SET_STATE_WITHOUT_ERRNO, RT_SIGRETURN, SIGNAL_DELIVER_PLAIN,
    btf::{self, Layout, RawIoUring},
    hook::At,
    tracepoint_format,
};
use crate::preflight::Tracefs;

/// What this kernel lets us see, and why not more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Whether interrupted calls can be followed to their end; `None` where tracefs may not be read.
    pub interruptions: Option<bool>,
    /// How far attempts can be followed.
    pub outcomes: Outcomes,
    /// How connects of io_uring are seen.
    pub io_uring: IoUring,
    /// Functions that may be hooked.
    pub functions: btf::Functions,
}

/// How far attempts are followed on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// To their end, with errno.
    WithErrno(Box<Offsets>),
    /// To their end; why not further.
    WithoutErrno(String),
    /// Not at all; why not.
    Off(String),
}

/// How connects of io_uring are seen on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IoUring {
    /// By raw tracepoints.
    Raw(RawIoUring),
    /// By the tracepoints as tracefs describes them.
    Plain(IoUringLayout),
    /// Not at all; why not.
    Off(String),
}

impl Survey {
    /// Of a kernel of which nothing can be found out, and why.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self {
            interruptions: None,
            outcomes: Outcomes::Off(why.to_owned()),
            io_uring: IoUring::Off(why.to_owned()),
            functions: btf::Functions::default(),
        }
    }

    /// Looks at this kernel.
    #[must_use]
    pub fn of(tracefs: &Tracefs) -> Self {
        let layout = match is_program_supported(ProgramType::RawTracePoint) {
            Ok(true) => btf::layout().map_err(|error| format!("{error:#}")),
            Ok(false) | Err(_) => Err("the kernel refuses raw tracepoint programs".to_owned()),
        };
        let layout_known = layout.as_ref().ok();
        let io_uring = io_uring(tracefs, layout_known);
        let functions = layout_known.map(|layout| layout.functions.clone());
        Self {
            functions: functions.unwrap_or_default(),
            interruptions: follows_interruptions(tracefs),
            outcomes: outcomes(tracefs, layout),
            io_uring,
        }
    }

    /// Offsets in the kernel's structures, if they are known.
    #[must_use]
    pub fn offsets(&self) -> Option<&Offsets> {
        match &self.outcomes {
            Outcomes::WithErrno(offsets) => Some(offsets),
            Outcomes::WithoutErrno(_) | Outcomes::Off(_) => None,
        }
    }
}

fn outcomes(tracefs: &Tracefs, layout: Result<Layout, String>) -> Outcomes {
    let refused = match layout {
        Ok(layout) => return Outcomes::WithErrno(Box::new(layout.offsets)),
        Err(refused) => refused,
    };
    let At::Plain(category, name) = INET_SOCK_SET_STATE_WITHOUT_ERRNO.at else {
        return Outcomes::Off(refused);
    };
    match tracefs.event(category, name).join("id").try_exists() {
        Ok(true) => Outcomes::WithoutErrno(refused),
        Ok(false) => Outcomes::Off(format!("{refused}; no tracepoint {category}:{name}")),
        Err(error) => Outcomes::Off(format!("{refused}; tracefs cannot be read: {error}")),
    }
}

fn follows_interruptions(tracefs: &Tracefs) -> Option<bool> {
    [SIGNAL_DELIVER_PLAIN, RT_SIGRETURN]
        .into_iter()
        .map(|hook| match hook.at {
            At::Plain(category, name) => tracefs.event(category, name).join("id").try_exists(),
            _ => Ok(true),
        })
        .try_fold(true, |all, exists| Some(all && exists.ok()?))
}

fn io_uring(tracefs: &Tracefs, layout: Option<&Layout>) -> IoUring {
    let has = |name| tracefs.event("io_uring", name).join("id").try_exists();
    match has("io_uring_complete") {
        Ok(true) => {}
        Ok(false) => return IoUring::Off("the kernel has no io_uring".to_owned()),
        Err(error) => return IoUring::Off(format!("tracefs cannot be read: {error}")),
    }
    let Some(layout) = layout else {
        return IoUring::Off(
            "the kernel's BTF, which says where a request is, is missing".to_owned(),
        );
    };
    if let Some(raw) = layout.io_uring {
        return IoUring::Raw(raw);
    }
    let offset = |name, field| {
        tracepoint_format::offset(tracefs, "io_uring", name, field)
            .map_err(|error| format!("{error:#}"))
    };
    let failed = |field| offset("io_uring_req_failed", field).unwrap_or(0);
    let has_failed = ["opcode", "user_data", "addr", "off"]
        .into_iter()
        .all(|field| failed(field) != 0);
    let failed = |field| if has_failed { failed(field) } else { 0 };
    let plain = || {
        Ok(IoUringLayout {
            submit_req: offset("io_uring_submit_sqe", "req")?,
            submit_opcode: offset("io_uring_submit_sqe", "opcode")?,
            submit_user_data: offset("io_uring_submit_sqe", "user_data")?,
            complete_req: offset("io_uring_complete", "req").unwrap_or(0),
            complete_user_data: offset("io_uring_complete", "user_data")?,
            complete_res: offset("io_uring_complete", "res")?,
            file_get_fd: offset("io_uring_file_get", "fd").unwrap_or(0),
            failed_opcode: failed("opcode"),
            failed_user_data: failed("user_data"),
            failed_addr: failed("addr"),
            failed_off: failed("off"),
        })
    };
    match plain() {
        Ok(layout) => IoUring::Plain(layout),
        Err(why) => IoUring::Off(why),
    }
}
