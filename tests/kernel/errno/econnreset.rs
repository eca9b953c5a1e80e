//! The attempt was ended from this side.

use std::net::{Shutdown, TcpStream};

use anyhow::Result;
use libc::ECONNRESET;

use super::blocking;
use crate::support::{
    conformance::{Gap, Proof},
    feature::DISCONNECTION,
    network::{SILENT, route_to_silence},
    sockaddr::inet,
    stage::Stage,
    syscall::tcp,
};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_econnreset_shut_down",
    "TCP: another thread calls shutdown(2) while the call waits for a peer that is silent",
    shut_down,
)
.needs(&DISCONNECTION)];

pub(super) const GAPS: &[Gap] = &[Gap {
    what: "vsock: nobody listens",
    why: "the peer is the host of this machine or a guest on it, which no test may disturb; vsock's \
          own loopback is not in every kernel",
}];

fn shut_down(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = TcpStream::from(tcp()?);
    blocking(stage, ECONNRESET, &socket, &inet(SILENT, 80), |_| {
        Ok(socket.shutdown(Shutdown::Both)?)
    })
}
