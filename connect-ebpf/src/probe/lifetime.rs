//! Threads that begin, end, or change their identity.
//!
//! Tracepoints `sched:sched_process_fork`, `sched:sched_process_exit`, `sched:sched_process_exec` and
//! `sched:sched_process_free` (`include/trace/events/sched.h`), raw: then they run even while another tracepoint
//! program runs on their CPU. Without BTF, the first is plain, and where it has the child differs between kernels: see
//! [`Settings::fork_child_pid`].
//!
//! From 7.0 on, the kernel preempts programs, and does not run one for whoever comes next on that CPU. So there are two
//! programs for a fork, of which one mostly runs; and the end of a task is seen a second time when its memory is freed,
//! where nothing preempts.
//!
//! [`Settings::fork_child_pid`]: connect_ebpf::settings::Settings::fork_child_pid

use aya_ebpf::{
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use aya_log_ebpf::error;

use super::context::at;
use crate::{
    fact::{memory::read_or_zero, setting::setting, task::TaskId},
    state::lifetime,
};

/// Runs in the parent, before the first instruction of the child.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn sched_process_fork(ctx: RawTracePointContext) {
    if lifetime::is_followed() {
        // Behind the parent.
        lifetime::follow(&ctx, pid(ctx.arg(1)));
    }
}

#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn sched_process_fork_again(ctx: RawTracePointContext) {
    if lifetime::is_followed() {
        lifetime::follow_if_missed(&ctx, pid(ctx.arg(1)));
    }
}

#[tracepoint(category = "sched", name = "sched_process_fork")]
fn sched_process_fork_plain(ctx: TracePointContext) {
    if !lifetime::is_followed() {
        return;
    }
    if let Some(child) = at(&ctx, setting!(fork_child_pid)) {
        lifetime::follow(&ctx, child);
    } else {
        error!(&ctx, "sched_process_fork: no child id");
    }
}

/// Thread id of a task.
#[inline(always)]
fn pid(task: u64) -> u32 {
    read_or_zero(task, setting!(offsets.task_pid))
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

/// Runs when nobody needs a task any more that has ended, in whatever context.
#[raw_tracepoint(tracepoint = "sched_process_free")]
fn sched_process_free(ctx: RawTracePointContext) {
    let task = ctx.arg(0);
    lifetime::is_freed(
        &ctx,
        TaskId {
            pid: read_or_zero(task, setting!(offsets.task_tgid)),
            tid: pid(task),
        },
    );
}
