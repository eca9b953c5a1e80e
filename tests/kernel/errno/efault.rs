//! An address that is not in the caller's memory.

use std::os::fd::AsRawFd as _;

use anyhow::Result;
use libc::EFAULT;

use crate::support::{
    attempt::Attempt,
    conformance::Proof,
    memory::{Access, Pages, page_size},
    sockaddr::loopback,
    stage::Stage,
    syscall::{register, udp},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new("errno_efault_null", "a null pointer", null),
    Proof::new(
        "errno_efault_unmapped",
        "a page that is not mapped",
        unmapped,
    )
    .brief(),
    Proof::new(
        "errno_efault_straddling",
        "an address that begins in a page and ends in one that is not mapped",
        straddling,
    ),
    Proof::new(
        "errno_efault_not_readable",
        "a page that may not be read",
        not_readable,
    ),
];

/// As long as an IPv4 address.
const LENGTH: u64 = 16;

fn at(stage: &Stage, pointer: u64) -> Result<()> {
    let socket = udp()?;
    let fd = register(socket.as_raw_fd());
    stage.expect_of(EFAULT, &Attempt::unreadable(fd, pointer, LENGTH))
}

fn null(stage: &Stage) -> Result<()> {
    at(stage, 0)
}

fn unmapped(stage: &Stage) -> Result<()> {
    let mut pages = Pages::fresh(1)?;
    pages.unmap(0)?;
    at(stage, pages.address(0))
}

fn straddling(stage: &Stage) -> Result<()> {
    let mut pages = Pages::fresh(2)?;
    pages.put(0, &loopback(9));
    pages.unmap(1)?;
    at(stage, pages.address(page_size()) - LENGTH / 2)
}

fn not_readable(stage: &Stage) -> Result<()> {
    let mut pages = Pages::fresh(1)?;
    let pointer = pages.put(0, &loopback(9));
    pages.protect(0, Access::None)?;
    at(stage, pointer)
}
