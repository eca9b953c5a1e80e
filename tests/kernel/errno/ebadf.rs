//! No open descriptor.

use std::os::fd::AsRawFd as _;

use anyhow::Result;
use libc::EBADF;
use rustix::fs::{Mode, OFlags, open};

use crate::support::{conformance::Proof, sockaddr::loopback, stage::Stage, syscall::tcp};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new("errno_ebadf_negative", "descriptor -1", negative),
    Proof::new(
        "errno_ebadf_closed",
        "a socket that has been closed",
        closed,
    )
    .brief(),
    Proof::new(
        "errno_ebadf_path_only",
        "a descriptor that was opened with `O_PATH`",
        path_only,
    ),
];

fn negative(stage: &Stage) -> Result<()> {
    stage.expect(EBADF, &-1, &loopback(9))
}

fn closed(stage: &Stage) -> Result<()> {
    let socket = tcp()?;
    let fd = socket.as_raw_fd();
    drop(socket);
    stage.expect(EBADF, &fd, &loopback(9))
}

fn path_only(stage: &Stage) -> Result<()> {
    let directory = open(stage.directory(), OFlags::PATH, Mode::empty())?;
    stage.expect(EBADF, &directory, &loopback(9))
}
