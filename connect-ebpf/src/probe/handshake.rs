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
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use connect_ebpf::{record::Endpoints, uapi::family::AF_INET};

use super::context::fixed;
use crate::{
    fact::socket::{self, IPPROTO_TCP},
    state::handshake::{self, Change},
};

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
    let (sk, change) = raw(&ctx);
    if change.begins() && socket::protocol(sk) == IPPROTO_TCP {
        handshake::begin(sk, || socket::endpoints(sk));
    }
}

/// A program of its own, as the kernel does not run one while it runs already on the same CPU: an attempt
/// begins in a thread, where a softirq may come in between that settles another.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn inet_sock_set_state_settle(ctx: RawTracePointContext) {
    let (sk, change) = raw(&ctx);
    handshake::settle(
        sk,
        change,
        || socket::error(sk),
        || socket::soft_error(sk),
        |to| {
            let _unknown = socket::write_endpoints(sk, to);
        },
    );
}

#[tracepoint(category = "sock", name = "inet_sock_set_state")]
fn inet_sock_set_state_without_errno(ctx: TracePointContext) {
    let sk: u64 = fixed(&ctx, SKADDR);
    let change = Change {
        old: fixed(&ctx, OLDSTATE),
        new: fixed(&ctx, NEWSTATE),
    };
    if !change.begins() {
        handshake::settle(sk, change, || None, || 0, |to| *to = endpoints(&ctx));
    } else if fixed::<u16>(&ctx, PROTOCOL) == IPPROTO_TCP {
        handshake::begin(sk, || endpoints(&ctx));
    }
}

/// Arguments of the raw tracepoint: the socket, and its states before and after.
#[inline(always)]
fn raw(ctx: &RawTracePointContext) -> (u64, Change) {
    let change = Change {
        old: ctx.arg(1),
        new: ctx.arg(2),
    };
    (ctx.arg(0), change)
}

#[inline(always)]
fn endpoints(ctx: &TracePointContext) -> Endpoints {
    let family: u16 = fixed(ctx, FAMILY);
    let (local_address, peer_address) = if family == AF_INET {
        (
            socket::from_ipv4(fixed::<u32>(ctx, SADDR).to_ne_bytes()),
            socket::from_ipv4(fixed::<u32>(ctx, DADDR).to_ne_bytes()),
        )
    } else {
        (sixteen(ctx, SADDR_V6), sixteen(ctx, DADDR_V6))
    };
    Endpoints {
        family,
        local_port: fixed(ctx, SPORT),
        peer_port: fixed(ctx, DPORT),
        reserved: 0,
        local_address,
        peer_address,
    }
}

/// Sixteen bytes.
#[inline(always)]
fn sixteen(ctx: &TracePointContext, offset: usize) -> [u8; 16] {
    let [low, high]: [u64; 2] = [fixed(ctx, offset), fixed(ctx, offset + 8)];
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}
