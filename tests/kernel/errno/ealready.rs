//! An attempt of this socket is still under way.

use anyhow::Result;
use libc::{EALREADY, EINPROGRESS, SO_SNDTIMEO, SOL_SOCKET, timeval};

use super::not_blocking;
use crate::support::{
    conformance::Proof,
    network::{SILENT, route_to_silence},
    option,
    sockaddr::inet,
    stage::Stage,
    syscall::tcp,
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_ealready_not_blocking",
        "TCP, not blocking: again, while a peer that is silent has not answered",
        again,
    ),
    Proof::new(
        "errno_ealready_blocking",
        "TCP, blocking: again, after `SO_SNDTIMEO` has ended the wait for a peer that is silent",
        again_blocking,
    ),
];

fn again(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = not_blocking()?;
    stage.expect(EINPROGRESS, &socket, &inet(SILENT, 80))?;
    stage.expect(EALREADY, &socket, &inet(SILENT, 80))
}

fn again_blocking(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = tcp()?;
    let timeout = timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    option::set(&socket, SOL_SOCKET, SO_SNDTIMEO, &timeout)?;
    stage.expect(EINPROGRESS, &socket, &inet(SILENT, 80))?;
    stage.expect(EALREADY, &socket, &inet(SILENT, 80))
}
