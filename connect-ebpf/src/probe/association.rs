//! Errors that come back to sockets.
//!
//! Raw tracepoint `sock:inet_sk_error_report` (`include/trace/events/sock.h`, from 5.14 on), which has the socket for
//! its argument. It runs in any context, mostly in a softirq.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::state::association;

#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
fn inet_sk_error_report(ctx: RawTracePointContext) {
    association::gets_error(ctx.arg(0));
}
