//! Fields of a plain tracepoint's context.

use aya_ebpf::{EbpfContext as _, programs::TracePointContext};

use crate::fact::memory;

/// A field at an offset that is the same on every kernel: loaded straight, as a helper call costs 40 ns.
#[inline(always)]
pub(super) fn fixed<T>(ctx: &TracePointContext, offset: usize) -> T {
    let field = ctx.as_ptr().wrapping_byte_add(offset).cast::<T>();
    // SAFETY: the verifier checks the offset against the tracepoint's size.
    unsafe { field.read() }
}

/// A field at an offset that the agent has read from tracefs.
#[inline(always)]
pub(super) fn at<T>(ctx: &TracePointContext, offset: u32) -> Option<T> {
    memory::read(ctx.as_ptr().addr() as u64, offset)
}
