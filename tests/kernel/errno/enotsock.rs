//! A descriptor of something else.

use std::{fs::File, io::pipe};

use anyhow::Result;
use libc::ENOTSOCK;

use crate::support::{conformance::Proof, sockaddr::loopback, stage::Stage};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new("errno_enotsock_file", "the descriptor of a file", file),
    Proof::new("errno_enotsock_pipe", "the descriptor of a pipe", of_pipe),
];

fn file(stage: &Stage) -> Result<()> {
    stage.expect(ENOTSOCK, &File::create(stage.file("file"))?, &loopback(9))
}

fn of_pipe(stage: &Stage) -> Result<()> {
    let (_reader, writer) = pipe()?;
    stage.expect(ENOTSOCK, &writer, &loopback(9))
}
