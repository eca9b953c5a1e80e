//! The attempt was taken back from this side.

use std::net::TcpStream;

use anyhow::Result;
use libc::EPIPE;

use super::blocking;
use crate::support::{
    conformance::Proof,
    feature::DISCONNECTION,
    network::{SILENT, route_to_silence},
    sockaddr::{inet, unspec},
    stage::Stage,
    syscall::tcp,
};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_epipe_dissolved",
    "TCP: while the call waits for a peer that is silent, another thread connects the same socket to \
     AF_UNSPEC",
    dissolved,
)
.needs(&DISCONNECTION)];

fn dissolved(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = TcpStream::from(tcp()?);
    blocking(stage, EPIPE, &socket, &inet(SILENT, 80), |_| {
        stage.expect(0, &socket, &unspec(16))
    })
}
