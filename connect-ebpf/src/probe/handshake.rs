//! The state of TCP sockets: when an attempt begins, and what becomes of it.
//!
//! Tracepoint `sock:inet_sock_set_state` (`include/trace/events/sock.h`, the same on 5.10 to 7.3),
//! in two ways. Raw, where the kernel's BTF says where a socket keeps its error: then it runs even
//! while another tracepoint program runs on its CPU. Or plain, as tracefs describes it, without the
//! error. State changes come in any context: the caller's, another task's, a softirq's.
//!
//! Multipath TCP connects by a subflow, which is a TCP socket and is followed; its own socket, of
//! another protocol, is not.

use aya_ebpf::{
    EbpfContext as _,
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use connect_ebpf::record::{Endpoints, OUTCOME_ABANDONED, OUTCOME_ESTABLISHED, OUTCOME_FAILED};

use crate::{
    filter, inflight,
    probe::io_uring,
    settlement::{self, Settlement},
    socket::{self, IPPROTO_TCP},
    task,
};

/// Socket states (`include/net/tcp_states.h`).
const TCP_ESTABLISHED: u32 = 1;
const TCP_SYN_SENT: u32 = 2;
/// Both ends have sent a SYN to each other.
const TCP_SYN_RECV: u32 = 3;
const TCP_CLOSE: u32 = 7;

const AF_INET: u16 = 2;

/// Offsets in the context of the plain tracepoint.
const SKADDR: usize = 8;
const OLDSTATE: usize = 16;
const NEWSTATE: usize = 20;
const SPORT: usize = 24;
const DPORT: usize = 26;
const FAMILY: usize = 28;
const PROTOCOL: usize = 30;
const SADDR: usize = 32;
const DADDR: usize = 36;
const SADDR_V6: usize = 40;
const DADDR_V6: usize = 56;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn inet_sock_set_state_begin(ctx: RawTracePointContext) {
    let sk: u64 = ctx.arg(0);
    if begins(ctx.arg(1), ctx.arg(2)) && socket::protocol(sk) == Some(IPPROTO_TCP) {
        begin(sk, || socket::endpoints(sk));
    }
}

/// A program of its own, as the kernel does not run one while it runs already on the same CPU: an attempt
/// begins in a thread, where a softirq may come in between that settles another.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn inet_sock_set_state_settle(ctx: RawTracePointContext) {
    let sk: u64 = ctx.arg(0);
    settle(
        sk,
        (ctx.arg(1), ctx.arg(2)),
        || match socket::error(sk) {
            Some(0) => (OUTCOME_ABANDONED, 0),
            Some(errno) => (OUTCOME_FAILED, errno),
            None => (OUTCOME_FAILED, 0),
        },
        || socket::endpoints(sk),
    );
}

#[tracepoint(category = "sock", name = "inet_sock_set_state")]
fn inet_sock_set_state_without_errno(ctx: TracePointContext) {
    let sk: u64 = field(&ctx, SKADDR);
    let old: u32 = field(&ctx, OLDSTATE);
    let new: u32 = field(&ctx, NEWSTATE);
    if begins(old, new) {
        if field::<u16>(&ctx, PROTOCOL) == IPPROTO_TCP {
            begin(sk, || endpoints(&ctx));
        }
    } else {
        settle(sk, (old, new), || (OUTCOME_FAILED, 0), || endpoints(&ctx));
    }
}

#[inline(always)]
const fn begins(old: u32, new: u32) -> bool {
    old == TCP_CLOSE && new == TCP_SYN_SENT
}

#[inline(always)]
const fn may_settle(old: u32) -> bool {
    old == TCP_SYN_SENT || old == TCP_SYN_RECV
}

/// The attempt of the call that this thread is in, or of the request that io_uring works on; or of
/// nobody that is seen.
#[inline(always)]
fn begin(sk: u64, endpoints: impl FnOnce() -> Endpoints) {
    let id = task::current();
    let call = inflight::under_way(id.tid).or_else(|| io_uring::request_on(id, sk));
    if let Some(call) = call {
        settlement::begin(call, sk, task::now());
    } else if filter::owner(id) {
        let endpoints = endpoints();
        if filter::is_wanted(endpoints.family) {
            settlement::begin_unexplained(id, sk, &endpoints, task::now());
        }
    }
}

/// What a change from one state to another says of the socket's attempt, if it makes one.
#[inline(always)]
fn settle(
    sk: u64,
    (old, new): (u32, u32),
    why: impl FnOnce() -> (u8, u32),
    endpoints: impl FnOnce() -> Endpoints,
) {
    if old == TCP_ESTABLISHED {
        settlement::settled_unseen(sk);
        return;
    }
    if !may_settle(old) || new == TCP_SYN_RECV {
        return;
    }
    let Some(attempt) = settlement::under_way(sk) else {
        return;
    };
    if attempt.settled != 0 {
        return;
    }
    let (outcome, errno) = if new == TCP_CLOSE {
        why()
    } else {
        // Established; or already further, where the other end has been quick.
        (OUTCOME_ESTABLISHED, 0)
    };
    let settlement = Settlement {
        outcome,
        errno,
        at_ns: task::now(),
        endpoints: endpoints(),
    };
    settlement::settle(sk, attempt, &settlement);
}

#[inline(always)]
fn endpoints(ctx: &TracePointContext) -> Endpoints {
    let family: u16 = field(ctx, FAMILY);
    let (local_address, peer_address) = if family == AF_INET {
        (
            socket::from_ipv4(field::<u32>(ctx, SADDR).to_ne_bytes()),
            socket::from_ipv4(field::<u32>(ctx, DADDR).to_ne_bytes()),
        )
    } else {
        (sixteen(ctx, SADDR_V6), sixteen(ctx, DADDR_V6))
    };
    Endpoints {
        family,
        local_port: field(ctx, SPORT),
        peer_port: field(ctx, DPORT),
        reserved: 0,
        local_address,
        peer_address,
    }
}

/// Sixteen bytes.
#[inline(always)]
fn sixteen(ctx: &TracePointContext, offset: usize) -> [u8; 16] {
    let [low, high]: [u64; 2] = [field(ctx, offset), field(ctx, offset + 8)];
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

/// A field of the plain tracepoint's context.
#[inline(always)]
fn field<T>(ctx: &TracePointContext, offset: usize) -> T {
    let field = ctx.as_ptr().wrapping_byte_add(offset).cast::<T>();
    // SAFETY: the verifier checks the offset against the tracepoint's size.
    unsafe { field.read() }
}
