//! The end of a thread, or of its identity: nothing kept for it may stay behind, or its successor
//! under the same id would inherit it, and the tables would fill.
//!
//! Tracepoints `sched:sched_process_exit` and `sched:sched_process_exec`
//! (`include/trace/events/sched.h`).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::{
    maps::{INFLIGHT, LINEAGE, setting},
    probe::lineage,
    task,
};

/// Runs in every thread that ends, not only in the last of a process.
#[tracepoint(category = "sched", name = "sched_process_exit")]
fn sched_process_exit(_ctx: TracePointContext) {
    forget(task::current().tid);
}

/// A thread that is not its group's leader takes the leader's id when it execs: its own old id is
/// gone without an exit.
#[tracepoint(category = "sched", name = "sched_process_exec")]
fn sched_process_exec(ctx: TracePointContext) {
    let offset = setting!(exec_old_pid) as usize;
    // SAFETY: read_at copies through bpf_probe_read_kernel, which checks the address.
    let Ok(old_tid) = (unsafe { ctx.read_at::<u32>(offset) }) else {
        return;
    };
    let tid = task::current().tid;
    if old_tid != tid {
        if lineage::follows(old_tid) {
            lineage::follow(&ctx, tid);
        }
        forget(old_tid);
    }
}

#[inline(always)]
fn forget(tid: u32) {
    // Most threads never connected: there is nothing to remove, which is no error.
    let _absent = INFLIGHT.remove(&tid);
    if setting!(lineage) != 0 {
        let _absent = LINEAGE.remove(&tid);
    }
}
