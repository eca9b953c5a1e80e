//! Connects that io_uring makes, which pass no system call tracepoint.
//!
//! Tracepoints `io_uring:io_uring_submit_req` (`io_uring_submit_sqe` before 6.4) and
//! `io_uring:io_uring_complete`, and for a request that is refused before it is submitted
//! `io_uring:io_uring_req_failed` (`include/trace/events/io_uring.h`). Raw, where the kernel's BTF says
//! what their arguments are; plain, as tracefs describes them, before 6.0. What they do not show is read
//! from the request, `struct io_kiocb`: it begins with the file, and then comes what `io_connect_prep`
//! has written (`struct io_connect`, `io_uring/net.c`).

use aya_ebpf::{
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};

use super::context::at;
use crate::{
    fact::{
        memory::{field, read_or_zero},
        setting::setting,
    },
    state::request::{self, Key, Passed},
};

/// `IORING_OP_CONNECT` (`include/uapi/linux/io_uring.h`).
const CONNECT: u8 = 16;
/// `IOSQE_FIXED_FILE`: what is passed is no descriptor.
const FIXED_FILE: u64 = 1 << 0;

/// In a request of a connect: the caller's pointer, and the length.
const REQUEST_ADDRESS: u32 = 8;
const REQUEST_ADDRLEN: u32 = 16;

/// `struct io_uring_sqe`: opcode, flags, descriptor, `addr2` and `addr`.
const SQE_OPCODE: u32 = 0;
const SQE_FLAGS: u32 = 1;
const SQE_FD: u32 = 4;
const SQE_ADDR2: u32 = 8;
const SQE_ADDR: u32 = 16;

/// `res` of a `struct io_uring_cqe`.
const CQE_RESULT: u32 = 8;

#[raw_tracepoint(tracepoint = "io_uring_submit_req")]
fn io_uring_submit(ctx: RawTracePointContext) {
    let request: u64 = ctx.arg(0);
    if read_or_zero::<u8>(request, setting!(offsets.io_kiocb_opcode)) == CONNECT {
        submit(of(request), request);
    }
}

#[raw_tracepoint(tracepoint = "io_uring_complete")]
fn io_uring_complete(ctx: RawTracePointContext) {
    let request: u64 = ctx.arg(1);
    request::complete(of(request), || {
        if setting!(io_uring_complete_cqe) != 0 {
            read_or_zero(ctx.arg(2), CQE_RESULT)
        } else {
            ctx.arg(3)
        }
    });
}

/// The kernel has not even accepted a request. Its completion follows.
#[raw_tracepoint(tracepoint = "io_uring_req_failed")]
fn io_uring_req_failed(ctx: RawTracePointContext) {
    let sqe: u64 = ctx.arg(0);
    if read_or_zero::<u8>(sqe, SQE_OPCODE) != CONNECT {
        return;
    }
    let request: u64 = ctx.arg(1);
    let is_fixed = u64::from(read_or_zero::<u8>(sqe, SQE_FLAGS)) & FIXED_FILE != 0;
    request::submit(
        of(request),
        request,
        Passed::new(
            Some(read_or_zero(sqe, SQE_FD)),
            is_fixed,
            read_or_zero(sqe, SQE_ADDR),
            read_or_zero(sqe, SQE_ADDR2),
        ),
    );
}

#[tracepoint(category = "io_uring", name = "io_uring_submit_sqe")]
fn io_uring_submit_plain(ctx: TracePointContext) {
    if at::<u8>(&ctx, setting!(io_uring_layout.submit_opcode)) == Some(CONNECT)
        && let Some(request) = at(&ctx, setting!(io_uring_layout.submit_req))
    {
        let key = if setting!(io_uring_layout.complete_req) != 0 {
            Some(of(request))
        } else {
            by_user_data(&ctx, setting!(io_uring_layout.submit_user_data))
        };
        if let Some(key) = key {
            submit(key, request);
        }
    }
}

/// Comes before the submission, on the same thread, where the kernel keeps no descriptor.
#[tracepoint(category = "io_uring", name = "io_uring_file_get")]
fn io_uring_file_get(ctx: TracePointContext) {
    if let Some(fd) = at(&ctx, setting!(io_uring_layout.file_get_fd)) {
        request::looks_up(fd);
    }
}

#[tracepoint(category = "io_uring", name = "io_uring_req_failed")]
fn io_uring_req_failed_plain(ctx: TracePointContext) {
    if at::<u8>(&ctx, setting!(io_uring_layout.failed_opcode)) == Some(CONNECT)
        && let Some(key) = by_user_data(&ctx, setting!(io_uring_layout.failed_user_data))
    {
        let passed = Passed::new(
            None,
            false,
            at(&ctx, setting!(io_uring_layout.failed_addr)).unwrap_or(0),
            at(&ctx, setting!(io_uring_layout.failed_off)).unwrap_or(0),
        );
        request::submit(key, 0, passed);
    }
}

#[tracepoint(category = "io_uring", name = "io_uring_complete")]
fn io_uring_complete_plain(ctx: TracePointContext) {
    let key = if setting!(io_uring_layout.complete_req) != 0 {
        at(&ctx, setting!(io_uring_layout.complete_req)).map(of)
    } else {
        by_user_data(&ctx, setting!(io_uring_layout.complete_user_data))
    };
    if let Some(key) = key {
        request::complete(key, || {
            at(&ctx, setting!(io_uring_layout.complete_res)).unwrap_or(0)
        });
    }
}

/// The request of this address.
#[inline(always)]
const fn of(request: u64) -> Key {
    Key {
        request,
        user_data: 0,
    }
}

/// `ctx` of every plain tracepoint: the ring.
const CONTEXT_RING: u32 = 8;

/// The request that the context of a plain tracepoint names by its ring, and what the caller calls it.
#[inline(always)]
fn by_user_data(ctx: &TracePointContext, offset: u32) -> Option<Key> {
    Some(Key {
        request: at(ctx, CONTEXT_RING)?,
        user_data: at(ctx, offset)?,
    })
}

/// A request is submitted, of which this is the address.
#[inline(always)]
fn submit(key: Key, address: u64) {
    let flags: u64 = if setting!(offsets.io_kiocb_flags) == 0 {
        0
    } else {
        read_or_zero(address, setting!(offsets.io_kiocb_flags))
    };
    let fd: Option<i32> = if setting!(io_uring_layout.file_get_fd) != 0 {
        request::descriptor_looked_up(address)
    } else {
        field(address, setting!(offsets.io_kiocb_fd))
    };
    let passed = Passed::new(
        fd,
        flags & FIXED_FILE != 0,
        read_or_zero(address, REQUEST_ADDRESS),
        read_or_zero(address, REQUEST_ADDRLEN),
    );
    request::submit(key, address, passed);
}
