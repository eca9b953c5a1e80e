//! What is fixed before the kernel object is loaded.

use anyhow::Result;
use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use connect_ebpf::settings::{
    ANY, IoUringLayout, NATIVE_BY_BOTH, NATIVE_BY_FUNCTION, NATIVE_BY_TRACEPOINT, OUTCOMES_OFF,
    OUTCOMES_WITH_ERRNO, OUTCOMES_WITHOUT_ERRNO, Offsets, REGISTERS_BY_HELPER, REGISTERS_BY_STACK,
    REGISTERS_OFF, Settings,
};

use super::{
    counts::Counts,
    hooks::{FORK, SIGNAL_DELIVER},
    survey::{Associations, IoUring, Outcomes, Survey},
};
use crate::{
    host::{kernel, tracefs::Tracefs},
    observation::{Hooks, Observation, Whom},
};

/// For this observation, on this kernel.
///
/// # Errors
///
/// tracefs does not describe a tracepoint that is needed.
pub(super) fn settings(
    tracefs: &Tracefs,
    observation: &Observation,
    survey: &Survey,
    counts: &Counts,
) -> Result<Settings> {
    let Observation {
        whom,
        filters,
        means,
        ..
    } = observation;
    let lineage = *whom != Whom::Host;
    let interruptions = survey.interruptions == Some(true);
    // Where the kernel's BTF does not say it.
    let deliver = |field| {
        if interruptions && survey.offsets().is_none() {
            tracefs.offset(SIGNAL_DELIVER, field)
        } else {
            Ok(0)
        }
    };
    let outcomes = match survey.outcomes {
        Outcomes::WithErrno(_) => OUTCOMES_WITH_ERRNO,
        Outcomes::WithoutErrno(_) => OUTCOMES_WITHOUT_ERRNO,
        Outcomes::Off(_) => OUTCOMES_OFF,
    };
    let (io_uring, io_uring_complete_cqe, io_uring_layout) = match survey.io_uring {
        _ if !means.io_uring => (false, false, IoUringLayout::NONE),
        IoUring::Raw(raw) => (true, raw.complete_cqe, IoUringLayout::NONE),
        IoUring::Plain(layout) => (true, false, layout),
        IoUring::Off(_) => (false, false, IoUringLayout::NONE),
    };
    Ok(Settings {
        pid: filters.pid.unwrap_or(ANY),
        uid: filters.uid.unwrap_or(ANY),
        family: filters.family.map_or(ANY, u32::from),
        failed: u32::from(filters.failed),
        lineage: u32::from(lineage),
        task_registers: task_registers(survey),
        wakeup_bytes: counts.ring_bytes / 8,
        fork_child_pid: if lineage && survey.offsets().is_none() {
            tracefs.offset(FORK, "child_pid")?
        } else {
            0
        },
        interruptions: u32::from(interruptions),
        deliver_sa_handler: deliver("sa_handler")?,
        deliver_sa_flags: deliver("sa_flags")?,
        outcomes,
        sockets: u32::from(means.sockets && survey.offsets().is_some()),
        associations: u32::from(means.sockets && survey.associations == Associations::Seen),
        interrupting_flags: kernel::interrupting_flags(&kernel::release()),
        settled_only: u32::from(observation.settled_only()),
        native: match means.hooks {
            Hooks::Tracepoint => NATIVE_BY_TRACEPOINT,
            Hooks::Function => NATIVE_BY_FUNCTION,
            Hooks::Auto => NATIVE_BY_BOTH,
        },
        skipped: u32::from(kernel::preempts_programs()),
        compat: u32::from(means.compat),
        io_uring: u32::from(io_uring),
        io_uring_complete_cqe: u32::from(io_uring_complete_cqe),
        io_uring_layout,
        offsets: survey.offsets().copied().unwrap_or(Offsets::NONE),
    })
}

/// How the registers that a task saved are found: `REGISTERS_*`.
fn task_registers(survey: &Survey) -> u32 {
    let by_helper = [
        BpfHelper::BPF_FUNC_get_current_task_btf,
        BpfHelper::BPF_FUNC_task_pt_regs,
    ]
    .into_iter()
    .all(|helper| is_helper_supported(ProgramType::TracePoint, helper).unwrap_or(false));
    if by_helper {
        REGISTERS_BY_HELPER
    } else if cfg!(target_arch = "x86_64") && survey.offsets().is_some() {
        REGISTERS_BY_STACK
    } else {
        REGISTERS_OFF
    }
}
