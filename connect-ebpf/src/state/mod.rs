//! What is kept between hooks, each piece beside its table.
//!
//! From what knows least to what knows most: whom to observe ([`observed`]); a call ([`call`]), the attempt
//! that it begins ([`attempt`], [`handover`], [`identity`]) or the association ([`association`]), and its end ([`end`]); where calls are kept while they are
//! under way ([`thread`], [`suspended`], [`request`]); and what a hook hands over to: a system call
//! ([`syscall`]), a signal ([`interruption`]), a change of a TCP socket ([`handshake`]), the end of a thread
//! ([`lifetime`]).

pub(crate) mod association;
mod attempt;
pub(crate) mod call;
pub(crate) mod current;
mod end;
mod handover;
pub(crate) mod handshake;
mod identity;
pub(crate) mod interruption;
pub(crate) mod lifetime;
pub(crate) mod observed;
pub(crate) mod request;
mod suspended;
pub(crate) mod syscall;
mod thread;
