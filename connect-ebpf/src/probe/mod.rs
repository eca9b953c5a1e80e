//! One file per way of seeing: a hook reads its context, and hands over to `state`.

mod association;
mod compat;
mod context;
mod function;
mod handshake;
mod io_uring;
mod lifetime;
mod signal;
mod syscall;
