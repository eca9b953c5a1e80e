//! Nobody answers.

use anyhow::Result;
use libc::{ETIMEDOUT, IPPROTO_TCP, TCP_SYNCNT, TCP_USER_TIMEOUT};

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
        "errno_etimedout_tries",
        "TCP, with `TCP_SYNCNT` 1: a peer that is silent, asked twice",
        tries,
    ),
    Proof::new(
        "errno_etimedout_user_timeout",
        "TCP, with `TCP_USER_TIMEOUT`: a peer that is silent for that long",
        user_timeout,
    ),
];

fn tries(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = tcp()?;
    option::set(&socket, IPPROTO_TCP, TCP_SYNCNT, &1_i32)?;
    stage.expect(ETIMEDOUT, &socket, &inet(SILENT, 80))
}

fn user_timeout(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = tcp()?;
    let milliseconds: u32 = 100;
    option::set(&socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds)?;
    stage.expect(ETIMEDOUT, &socket, &inet(SILENT, 80))
}
