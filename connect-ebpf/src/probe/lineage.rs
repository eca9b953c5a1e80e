//! The observed command and its descendants: every task that an observed task starts is observed,
//! thread or process, before its first instruction.
//!
//! Tracepoint `sched:sched_process_fork` (`include/trace/events/sched.h`), which runs in the
//! parent. Its layout differs between kernels: see [`Settings::fork_child_pid`].
//!
//! [`Settings::fork_child_pid`]: connect_ebpf::settings::Settings::fork_child_pid

use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};
use aya_log_ebpf::error;
use connect_ebpf::loss::KernelLoss;

use crate::{
    emit,
    maps::{LINEAGE, setting},
    task,
};

#[tracepoint(category = "sched", name = "sched_process_fork")]
fn sched_process_fork(ctx: TracePointContext) {
    if !follows(task::current().tid) {
        return;
    }
    let offset = setting!(fork_child_pid) as usize;
    // SAFETY: read_at copies through bpf_probe_read_kernel, which checks the address.
    match unsafe { ctx.read_at::<u32>(offset) } {
        Ok(child) => follow(&ctx, child),
        Err(error) => error!(&ctx, "sched_process_fork: no child id: error {}", error),
    }
}

/// Whether this task is observed because of its ancestry.
#[inline(always)]
pub(crate) fn follows(tid: u32) -> bool {
    setting!(lineage) != 0 && LINEAGE.get_ptr(&tid).is_some()
}

/// Observes this task from now on.
#[inline(always)]
pub(crate) fn follow(ctx: &impl EbpfContext, tid: u32) {
    if let Err(error) = LINEAGE.insert(&tid, &1, 0)
        && emit::count(KernelLoss::LineageFull)
    {
        error!(
            ctx,
            "task {} and its descendants are not observed: error {}", tid, error
        );
    }
}
