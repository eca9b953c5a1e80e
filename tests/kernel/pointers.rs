//! Pointers that are bad in every way.

use std::os::fd::AsRawFd as _;

use anyhow::Result;
use libc::{EBADF, EFAULT, ENOTSOCK};

use crate::support::{
    attempt::Attempt,
    case::Case,
    memory::{Access, Pages, page_size},
    sockaddr::loopback,
    stage::Stage,
    syscall::{register, udp},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("bad_pointers_are_reported_without_address", bad),
    Case::exact("not_a_socket_still_shows_the_address", not_a_socket),
];

/// After each, a call with a good pointer: nothing of one call may show up in the next.
fn bad(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let fd = register(socket.as_raw_fd());
    let good = loopback(9);

    let mut hole = Pages::fresh(3)?;
    hole.unmap(1)?;
    let straddling = hole.put(page_size() - 8, &loopback_half());
    let mut locked = Pages::fresh(2)?;
    let locked_page = locked.put(0, &good);
    locked.protect(0, Access::None)?;
    let half_locked = locked.address(page_size()) - 8;

    for pointer in [
        0,
        1,
        0xfff,
        // Nothing is mapped there.
        hole.address(page_size()),
        // Begins in a page and ends in none; begins in none and ends in a page.
        straddling,
        hole.address(2 * page_size()) - 8,
        // There, but not for us.
        locked_page,
        half_locked,
        // The kernel's own, the page of the former vsyscalls, and no address at all.
        0xffff_8880_0000_0000,
        0xffff_ffff_8100_0000,
        0xffff_ffff_ff60_0000,
        0x8000_0000_0000_0000,
        0x0000_7fff_ffff_fff8,
        u64::MAX,
        u64::MAX - 15,
    ] {
        stage.expect(0, &socket, &good)?;
        stage.expect_of(EFAULT, &Attempt::unreadable(fd, pointer, 16))?;
        stage.expect_of(EFAULT, &Attempt::unreadable(fd, pointer, 128))?;
        // The kernel does not come to the pointer, but we do.
        stage.expect_of(EBADF, &Attempt::unreadable(register(-1), pointer, 16))?;
    }
    stage.expect(0, &socket, &good)?;

    // Allowed again, it is readable again.
    locked.protect(0, Access::ReadWrite)?;
    stage.expect_of(0, &Attempt::new(&socket, &good).at(locked_page))
}

/// The first half of an address.
fn loopback_half() -> crate::support::sockaddr::Sockaddr {
    let mut half = loopback(9);
    half.bytes.truncate(8);
    half
}

fn not_a_socket(stage: &Stage) -> Result<()> {
    let file = std::fs::File::create(stage.file("no-socket"))?;
    stage.expect(ENOTSOCK, &file, &loopback(9))?;
    // The kernel copies the address before it asks what the descriptor is.
    let unreadable = Attempt::unreadable(register(file.as_raw_fd()), 0, 16);
    stage.expect_of(EFAULT, &unreadable)
}
