//! The attempt was ended from this side.

use std::net::{Shutdown, TcpStream};

use anyhow::Result;
use libc::ECONNRESET;

use super::blocking;
use crate::support::{
    conformance::{Gap, Proof},
    network::{SILENT, route_to_silence},
    sockaddr::inet,
    stage::Stage,
    syscall::tcp,
};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_econnreset_shut_down",
    "TCP: another thread calls shutdown(2) while the call waits for a peer that is silent",
    shut_down,
)];

pub(super) const GAPS: &[Gap] = &[Gap {
    what: "vsock: nobody listens",
    why: "its peer is another machine, the host or a guest of this one; a loopback of its own is in \
          few kernels",
}];

fn shut_down(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = TcpStream::from(tcp()?);
    blocking(stage, ECONNRESET, &socket, &inet(SILENT, 80), |_| {
        Ok(socket.shutdown(Shutdown::Both)?)
    })
}
