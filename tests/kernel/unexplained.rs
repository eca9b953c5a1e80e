//! Attempts that no connect call makes: sendto(2) with `MSG_FASTOPEN`.

use std::{net::TcpListener, os::fd::AsRawFd};

use anyhow::{Result, ensure};
use libc::{ECONNREFUSED, MSG_FASTOPEN};

use crate::support::{
    attempt::Settlement,
    case::Case,
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{self, tcp},
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("fast_open_by_sendto", fast_open).brief(),
    Case::new(
        "fast_open_is_of_its_family",
        |case| {
            let observation = case.run(&["--family", "inet6"])?;
            ensure!(observation.outcomes.is_empty(), "{observation:?}");
            Ok(())
        },
        fast_open,
    ),
];

fn fast_open(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    // Twice: only the second knows the cookie of the other end, if it gives any.
    for _ in 0..2 {
        let client = tcp()?;
        ensure!(send(&client, &address) == 0, "not sent");
        stage.unexplained(&address, Settlement::Established)?;
    }
    let refusing = loopback(9);
    let client = tcp()?;
    let errno = send(&client, &refusing);
    ensure!(errno == ECONNREFUSED, "errno {errno}");
    stage.unexplained(&refusing, Settlement::Failed(ECONNREFUSED))?;
    // One with a call, so that there is something to compare.
    stage.expect(0, &tcp()?, &address)
}

fn send(socket: &impl AsRawFd, address: &Sockaddr) -> i32 {
    syscall::send_to(socket.as_raw_fd(), b"hello", MSG_FASTOPEN, &address.bytes)
}
