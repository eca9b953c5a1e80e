//! What this kernel lets us see, found out before anything is attached.

use aya::{programs::ProgramType, sys::is_program_supported};
use connect_ebpf::settings::{IoUringLayout, Offsets};

use super::hooks::{
    self, COMPLETE, FILE_GET, REQ_FAILED, RT_SIGRETURN, SET_STATE, SIGNAL_DELIVER, SK_ERROR_REPORT,
    SUBMIT_SQE,
};
use crate::host::{
    layout::{FunctionIds, Layout, RawIoUring},
    tracefs::Tracefs,
};

/// What this kernel lets us see, and why not more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Whether interrupted calls can be followed to their end; `None` where tracefs may not be read.
    pub interruptions: Option<bool>,
    /// How far attempts can be followed.
    pub outcomes: Outcomes,
    /// Whether errors that come back to datagram sockets are seen.
    pub associations: Associations,
    /// How connects of io_uring are seen.
    pub io_uring: IoUring,
    /// Functions that may be hooked.
    pub functions: FunctionIds,
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

/// Whether errors that come back to datagram sockets are seen on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Associations {
    /// They are.
    Seen,
    /// They are not; why not.
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
    /// Looks at this kernel.
    #[must_use]
    pub fn of(tracefs: &Tracefs) -> Self {
        let layout = match is_program_supported(ProgramType::RawTracePoint) {
            Ok(true) => Layout::read(&hooks::functions()).map_err(|error| format!("{error:#}")),
            Ok(false) | Err(_) => Err("the kernel refuses raw tracepoint programs".to_owned()),
        };
        let layout_known = layout.as_ref().ok();
        let io_uring = io_uring(tracefs, layout_known);
        let functions = layout_known.map(|layout| layout.functions.clone());
        Self {
            functions: functions.unwrap_or_default(),
            interruptions: follows_interruptions(tracefs),
            associations: associations(tracefs, layout_known),
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
    match tracefs.has(SET_STATE) {
        Ok(true) => Outcomes::WithoutErrno(refused),
        Ok(false) => Outcomes::Off(format!("{refused}; no tracepoint {SET_STATE}")),
        Err(error) => Outcomes::Off(format!("{refused}; tracefs cannot be read: {error}")),
    }
}

fn associations(tracefs: &Tracefs, layout: Option<&Layout>) -> Associations {
    if layout.is_none() {
        return Associations::Off(
            "the kernel's BTF, which says where a socket has its error, is missing".to_owned(),
        );
    }
    match tracefs.has(SK_ERROR_REPORT) {
        Ok(true) => Associations::Seen,
        Ok(false) => Associations::Off(format!(
            "the kernel has no tracepoint {SK_ERROR_REPORT}, which came with 5.14"
        )),
        Err(error) => Associations::Off(format!("tracefs cannot be read: {error}")),
    }
}

fn follows_interruptions(tracefs: &Tracefs) -> Option<bool> {
    [SIGNAL_DELIVER, RT_SIGRETURN]
        .into_iter()
        .try_fold(true, |all, tracepoint| {
            Some(all && tracefs.has(tracepoint).ok()?)
        })
}

fn io_uring(tracefs: &Tracefs, layout: Option<&Layout>) -> IoUring {
    match tracefs.has(COMPLETE) {
        Ok(true) => {}
        Ok(false) => return IoUring::Off("the kernel has no io_uring".to_owned()),
        Err(error) => return IoUring::Off(format!("tracefs cannot be read: {error}")),
    }
    let Some(layout) = layout else {
        return IoUring::Off(
            "the kernel's BTF, which says where a request is, cannot be read or is not understood"
                .to_owned(),
        );
    };
    if let Some(raw) = layout.io_uring {
        return IoUring::Raw(raw);
    }
    let offset = |tracepoint, field| {
        tracefs
            .offset(tracepoint, field)
            .map_err(|error| format!("{error:#}"))
    };
    let failed = |field| offset(REQ_FAILED, field).unwrap_or(0);
    let has_failed = ["opcode", "user_data", "addr", "off"]
        .into_iter()
        .all(|field| failed(field) != 0);
    let failed = |field| if has_failed { failed(field) } else { 0 };
    let plain = || {
        Ok(IoUringLayout {
            submit_req: offset(SUBMIT_SQE, "req")?,
            submit_opcode: offset(SUBMIT_SQE, "opcode")?,
            submit_user_data: offset(SUBMIT_SQE, "user_data")?,
            complete_req: offset(COMPLETE, "req").unwrap_or(0),
            complete_user_data: offset(COMPLETE, "user_data")?,
            complete_res: offset(COMPLETE, "res")?,
            file_get_fd: offset(FILE_GET, "fd").unwrap_or(0),
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
