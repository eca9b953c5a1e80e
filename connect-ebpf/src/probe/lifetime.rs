//! Threads that begin, end, or change their identity.
//!
//! Tracepoints `sched:sched_process_fork`, `sched:sched_process_exit` and `sched:sched_process_exec`
//! (`include/trace/events/sched.h`); the latter two raw: then they run even while another tracepoint program
//! runs on their CPU. The layout of the first differs between kernels: see [`Settings::fork_child_pid`].
//!
//! [`Settings::fork_child_pid`]: connect_ebpf::settings::Settings::fork_child_pid

use aya_ebpf::{
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use aya_log_ebpf::error;

use super::context::at;
use crate::{fact::setting::setting, state::lifetime};

/// Runs in the parent, before the first instruction of the child.
#[tracepoint(category = "sched", name = "sched_process_fork")]
fn sched_process_fork(ctx: TracePointContext) {
    if !lifetime::is_followed() {
        return;
    }
    if let Some(child) = at(&ctx, setting!(fork_child_pid)) {
        lifetime::follow(&ctx, child);
    } else {
        error!(&ctx, "sched_process_fork: no child id");
    }
}

/// Runs in every thread that ends, not only in the last of a process.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn sched_process_exit(_ctx: RawTracePointContext) {
    lifetime::exits();
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn sched_process_exec(ctx: RawTracePointContext) {
    // Behind the task.
    lifetime::execs(&ctx, ctx.arg(1));
}
