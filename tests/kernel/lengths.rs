//! Every address length, also the impossible ones, and registers whose upper halves hold garbage.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::Result;
use libc::{EBADF, EINVAL};

use crate::support::{
    attempt::Attempt,
    case::Case,
    sockaddr::{Sockaddr, loopback, unix_exactly, unix_unnamed},
    stage::Stage,
    syscall::{register, tcp, udp, unix_stream},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("every_address_length_is_read_exactly", every_length).also_by_functions(),
    Case::exact("impossible_lengths_read_nothing", impossible).also_by_functions(),
    Case::exact("upper_halves_of_registers_do_not_count", upper_halves).also_by_functions(),
];

/// What the kernel takes at most.
const LONGEST: usize = 128;

/// `length` bytes of family 300, the last of them followed by more.
fn unknown_family(length: usize) -> Sockaddr {
    let rest: Vec<_> = (3..).take(LONGEST).collect();
    let bytes = [&300_u16.to_ne_bytes()[..], &rest].concat();
    Sockaddr::raw(&bytes[..length], (length >= 2).then_some("300"))
}

fn every_length(stage: &Stage) -> Result<()> {
    let (stream, datagram, unix) = (tcp()?, udp()?, unix_stream()?);
    for length in 0..=LONGEST {
        for socket in [&stream, &datagram, &unix] {
            stage.connect(&Attempt::new(socket, &unknown_family(length)))?;
        }
        if let Some(path) = length.checked_sub(2) {
            let path = vec![b'p'; path];
            let address = match path.len() {
                0 => unix_unnamed(),
                _ => unix_exactly(&path, &path),
            };
            stage.connect(&Attempt::new(&unix, &address))?;
        }
        if (2..16).contains(&length) {
            let address = Sockaddr::raw(&loopback(9).bytes[..length], Some("AF_INET"));
            stage.expect(EINVAL, &stream, &address)?;
        } else if length >= 16 {
            let mut address = loopback(9);
            address.bytes.resize(length, 0xff);
            stage.expect(0, &datagram, &address)?;
        }
    }
    Ok(())
}

/// After each, a call with an address: nothing of one call may show up in the next.
fn impossible(stage: &Stage) -> Result<()> {
    let datagram = udp()?;
    let address = loopback(9);
    let pointer = address.bytes.as_ptr().expose_provenance() as u64;
    for length in [-1, -16, i32::MIN, 129, 4096, 65536, i32::MAX] {
        let length = register(length);
        let fd = register(datagram.as_raw_fd());
        stage.expect(0, &datagram, &address)?;
        stage.expect_of(EINVAL, &Attempt::unreadable(fd, pointer, length))?;
        // The descriptor is looked at first.
        stage.expect_of(EBADF, &Attempt::unreadable(register(-1), pointer, length))?;
    }
    stage.expect(0, &datagram, &address)
}

fn upper_halves(stage: &Stage) -> Result<()> {
    let datagram = udp()?;
    let address = loopback(9);
    let call = |fd: &OwnedFd, upper: (u32, u32)| {
        Attempt::new(fd, &address).with_upper_halves(upper.0, upper.1)
    };
    for upper in [
        (1, 0),
        (0, 1),
        (u32::MAX, u32::MAX),
        (0xdead_beef, 0x8000_0000),
    ] {
        stage.expect_of(0, &call(&datagram, upper))?;
    }
    for fd in [-1, -100, i32::MIN, i32::MAX] {
        for upper in [0, 1, u32::MAX] {
            let call = Attempt::new(&fd, &address).with_upper_halves(upper, upper);
            stage.expect_of(EBADF, &call)?;
        }
    }
    let pointer = address.bytes.as_ptr().expose_provenance() as u64;
    for length in [-1, 0, 129, i32::MAX] {
        let call = Attempt::unreadable(register(datagram.as_raw_fd()), pointer, register(length));
        stage.expect_of(EINVAL, &call.with_upper_halves(0xdead_beef, 0xcafe_babe))?;
    }
    Ok(())
}
