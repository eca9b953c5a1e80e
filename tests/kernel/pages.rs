//! Pages that are not in memory when the call is entered, and addresses at the very end of one.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
};

use anyhow::Result;
use libc::{EAFNOSUPPORT, EBADF, EFAULT, EINVAL};

use crate::support::{
    attempt::Attempt,
    case::Case,
    memory::{Pages, page_size},
    sockaddr::{Sockaddr, inet, loopback, unspec},
    stage::Stage,
    syscall::{register, udp},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("cold_page_is_read_at_exit", cold).also_by_functions(),
    Case::exact(
        "cold_page_that_the_kernel_never_read_shows_no_address",
        never_read,
    )
    .also_by_functions(),
    Case::exact("address_may_end_at_an_unmapped_page", at_the_end).also_by_functions(),
];

fn cold(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let address = inet([127, 9, 8, 7], 6543);
    let path = stage.file("address");
    fs::write(&path, &address.bytes)?;
    let mut file = Pages::of_file(&File::open(&path)?, 1)?;
    let from_file = || Attempt::new(&socket, &address).at(file.address(0));
    stage.expect_of(0, &from_file().read_at_exit())?;
    // Now it is there, and the thread's entry still holds what it read last.
    stage.expect_of(0, &from_file())?;
    stage.expect(0, &socket, &loopback(9))?;
    for _ in 0..3 {
        file.drop_page(0)?;
        let cold = Attempt::new(&socket, &address).at(file.address(0));
        stage.expect_of(0, &cold.read_at_exit())?;
    }

    // Begins in a page that is there, ends in one that is not: bytes of a file, so not zero.
    let mut bytes = vec![0; 2 * page_size()];
    let offset = page_size() - 6;
    bytes[offset..offset + address.len()].copy_from_slice(&address.bytes);
    fs::write(&path, bytes)?;
    let mut straddling = Pages::of_file(&File::open(&path)?, 2)?;
    let here = straddling.address(offset);
    stage.expect_of(0, &Attempt::new(&socket, &address).at(here).read_at_exit())?;
    stage.expect_of(0, &Attempt::new(&socket, &address).at(here))?;
    straddling.drop_page(1)?;
    stage.expect_of(0, &Attempt::new(&socket, &address).at(here).read_at_exit())?;

    // Never touched, and of no file: the kernel finds zeros, which are AF_UNSPEC.
    let fresh = Pages::fresh(1)?;
    let zeros = unspec(16);
    let call = Attempt::new(&socket, &zeros).at(fresh.address(64));
    stage.expect_of(0, &call.read_at_exit())
}

/// The kernel refuses before it reads the address, so the page is still not there at the exit.
fn never_read(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let fresh = Pages::fresh(1)?;
    stage.expect(0, &socket, &loopback(9))?;
    let call = Attempt::unreadable(register(-1), fresh.address(0), 16);
    stage.expect_of(EBADF, &call)?;
    let call = Attempt::unreadable(register(socket.as_raw_fd()), fresh.address(0), 129);
    stage.expect_of(EINVAL, &call)?;
    stage.expect(0, &socket, &loopback(9))
}

fn at_the_end(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let mut pages = Pages::fresh(2)?;
    pages.unmap(1)?;
    let end = page_size();
    for length in [1, 2, 15, 16, 28, 110, 127, 128] {
        let address = match length {
            16.. => {
                let mut address = loopback(9);
                address.bytes.resize(length, 0);
                address
            }
            _ => Sockaddr::raw(
                &loopback(9).bytes[..length],
                (length > 1).then_some("AF_INET"),
            ),
        };
        let pointer = pages.put(end - length, &address);
        let call = Attempt::new(&socket, &address).at(pointer);
        stage.expect_of(if length < 16 { EINVAL } else { 0 }, &call)?;
        // One byte more than there is.
        let over = Attempt::unreadable(register(socket.as_raw_fd()), pointer, length as u64 + 1);
        stage.expect_of(if length == 128 { EINVAL } else { EFAULT }, &over)?;
    }
    let tiny = unspec(2);
    let pointer = pages.put(end - 2, &tiny);
    stage.expect_of(0, &Attempt::new(&socket, &tiny).at(pointer))?;
    let unknown = Sockaddr::raw(
        &[0x2c, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        Some("300"),
    );
    let pointer = pages.put(end - 16, &unknown);
    stage.expect_of(EAFNOSUPPORT, &Attempt::new(&socket, &unknown).at(pointer))
}
