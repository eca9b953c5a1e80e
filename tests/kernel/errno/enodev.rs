//! The interface that the socket is bound to is not there.

use anyhow::Result;
use libc::{ENODEV, SOL_SOCKET};

use crate::support::{
    conformance::Proof,
    option,
    sockaddr::loopback,
    stage::Stage,
    syscall::{tcp, udp},
};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_enodev_interface_is_gone",
    "TCP, then UDP: bound to an interface that is not there, or no longer",
    interface_is_gone,
)];

fn interface_is_gone(stage: &Stage) -> Result<()> {
    // From asm-generic/socket.h. By index, which the kernel does not look up, unlike a name.
    const SO_BINDTOIFINDEX: i32 = 62;
    const NOBODY: i32 = 4711;
    let (stream, datagram) = (tcp()?, udp()?);
    option::set(&stream, SOL_SOCKET, SO_BINDTOIFINDEX, &NOBODY)?;
    option::set(&datagram, SOL_SOCKET, SO_BINDTOIFINDEX, &NOBODY)?;
    stage.expect(ENODEV, &stream, &loopback(9))?;
    stage.expect(ENODEV, &datagram, &loopback(9))
}
