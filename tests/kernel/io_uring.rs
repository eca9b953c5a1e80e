//! Connects that io_uring makes: by the caller, by a thread of its own, one after another, cancelled.

use std::{fs, net::TcpListener, os::fd::AsRawFd, ptr};

use anyhow::{Result, anyhow, bail, ensure};
use io_uring::{opcode, squeue::Flags, types::Fd};
use libc::{
    EBADF, ECANCELED, ECONNREFUSED, EFAULT, EINPROGRESS, ENOTSOCK, SOCK_NONBLOCK, SOCK_STREAM,
};

use crate::support::{
    attempt::{Attempt, Settlement},
    case::Case,
    child::{fork, succeed_all},
    feature::IO_URING_REFUSED,
    network::{SILENT, route_to_silence},
    ring::{Ring, attempt, connect, connect_registered},
    sockaddr::{Sockaddr, inet, loopback, mapped, unix_abstract},
    stage::Stage,
    syscall::{socket, tcp, udp, unix_stream},
    wait,
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("io_uring_connects", plain).brief(),
    Case::outcomes("io_uring_connects_by_a_worker", by_a_worker).brief(),
    Case::outcomes("io_uring_connects_by_a_polling_thread", polled).brief(),
    Case::outcomes("io_uring_connects_that_are_linked", linked).brief(),
    Case::outcomes("io_uring_connects_of_a_registered_file", registered).brief(),
    Case::outcomes("io_uring_connects_that_do_not_block", not_blocking).brief(),
    Case::outcomes("io_uring_connects_that_are_cancelled", cancelled).brief(),
    Case::outcomes("io_uring_connects_with_bad_arguments", bad_arguments).brief(),
    Case::outcomes("io_uring_connects_of_many_threads", many_threads),
    Case::outcomes("io_uring_and_system_calls_of_one_thread", mixed),
    Case::new(
        "io_uring_connects_of_a_process_that_ends",
        |case| {
            let observation = case.run(&[])?;
            observation.assert_nothing_lost()?;
            let [connect] = &observation.connects[..] else {
                bail!("{observation:?}");
            };
            ensure!(connect.text("via")? == "io_uring", "{connect:?}");
            ensure!(connect.text("error.type")? == "ECANCELED", "{connect:?}");
            let [outcome] = &observation.outcomes[..] else {
                bail!("{observation:?}");
            };
            ensure!(outcome.text("outcome")? == "abandoned", "{outcome:?}");
            ensure!(outcome.text("id")? == connect.text("id")?, "{outcome:?}");
            Ok(())
        },
        ended,
    ),
    Case::new(
        "io_uring_connects_are_of_the_family_that_is_sent",
        Case::assert_ipv4,
        to_mapped,
    ),
    Case::new(
        "io_uring_can_be_left_out",
        |case| {
            let observation = case.run(&["--skip-io-uring"])?;
            observation.assert_nothing_lost()?;
            ensure!(observation.connects.is_empty(), "{observation:?}");
            // What becomes of TCP's is shown all the same: one is established, one refused.
            let outcomes: Vec<_> = observation
                .outcomes
                .iter()
                .map(|outcome| Ok((outcome.text("via")?, outcome.text("outcome")?)))
                .collect::<Result<_>>()?;
            ensure!(
                outcomes == [("unknown", "established"), ("unknown", "failed")],
                "{outcomes:?}"
            );
            Ok(())
        },
        established_and_refused,
    )
    .brief(),
];

fn listener() -> Result<(TcpListener, Sockaddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    Ok((listener, address))
}

fn expect(found: i32, errno: i32) -> Result<()> {
    ensure!(found == errno, "errno {found} instead of {errno}");
    Ok(())
}

/// Every kind of socket, with every flag.
fn of_every_kind(stage: &Stage, ring: &mut Ring, flags: Flags) -> Result<()> {
    let (_listener, address) = listener()?;
    expect(ring.connect(stage, &tcp()?, &address, flags)?, 0)?;
    expect(
        ring.connect(stage, &tcp()?, &loopback(9), flags)?,
        ECONNREFUSED,
    )?;
    expect(ring.connect(stage, &udp()?, &loopback(9), flags)?, 0)?;
    let nobody = unix_abstract(b"nobody");
    expect(
        ring.connect(stage, &unix_stream()?, &nobody, flags)?,
        ECONNREFUSED,
    )
}

fn plain(stage: &Stage) -> Result<()> {
    of_every_kind(stage, &mut Ring::new()?, Flags::empty())
}

fn by_a_worker(stage: &Stage) -> Result<()> {
    of_every_kind(stage, &mut Ring::new()?, Flags::ASYNC)
}

fn polled(stage: &Stage) -> Result<()> {
    let mut ring = Ring::polled()?;
    of_every_kind(stage, &mut ring, Flags::empty())?;
    of_every_kind(stage, &mut ring, Flags::ASYNC)
}

/// The second begins when the first has succeeded; the fourth not at all, as the third fails.
fn linked(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let sockets = [tcp()?, tcp()?, tcp()?, tcp()?];
    let refusing = loopback(9);
    let addresses = [&address, &address, &refusing, &address];
    let mut ring = Ring::new()?;
    for (number, (socket, address)) in (0..).zip(sockets.iter().zip(addresses)) {
        let flags = if number % 2 == 0 {
            Flags::IO_LINK
        } else {
            Flags::empty()
        };
        ring.push(connect(socket.as_raw_fd(), address), flags, number)?;
    }
    ring.submit()?;
    let mut results = ring.take(4)?;
    // In the order in which they are completed.
    for &(number, result) in &results {
        let number = usize::try_from(number)?;
        let attempt = attempt(&sockets[number], addresses[number]);
        stage.record(&attempt, &ring.caller, &ring.outcome(-result))?;
    }
    results.sort_unstable();
    ensure!(
        results == [(0, 0), (1, 0), (2, -ECONNREFUSED), (3, -ECANCELED)],
        "{results:?}"
    );
    Ok(())
}

fn registered(stage: &Stage) -> Result<()> {
    for flags in [Flags::empty(), Flags::ASYNC] {
        let (_listener, address) = listener()?;
        let mut ring = Ring::new()?;
        let files = [tcp()?, tcp()?];
        ring.register(&files.each_ref().map(AsRawFd::as_raw_fd))?;
        for (index, (address, errno)) in (0..).zip([(&address, 0), (&loopback(9), ECONNREFUSED)]) {
            ring.push(connect_registered(index, address), flags, 7)?;
            ring.submit()?;
            expect(ring.errno_of(7)?, errno)?;
            let shown = attempt(&files[0], address).without_fd();
            stage.record(&shown, &ring.caller, &ring.outcome(errno))?;
        }
    }
    Ok(())
}

/// Kernels differ in what a request on such a socket comes to; what is reported must be that.
fn not_blocking(stage: &Stage) -> Result<()> {
    let not_blocking = || socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    let mut ring = Ring::new()?;
    let (_listener, address) = listener()?;
    for (address, settlement) in [
        (&address, Settlement::Established),
        (&loopback(9), Settlement::Failed(ECONNREFUSED)),
    ] {
        let client = not_blocking()?;
        let errno = ring.connect(stage, &client, address, Flags::empty())?;
        if errno == EINPROGRESS {
            stage.settled_via(
                &ring.caller,
                &attempt(&client, address),
                address,
                settlement,
            )?;
        }
    }
    Ok(())
}

fn cancelled(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let silent = inet(SILENT, 80);
    let client = tcp()?;
    let mut ring = Ring::new()?;
    ring.push(connect(client.as_raw_fd(), &silent), Flags::empty(), 1)?;
    ring.submit()?;
    ring.push(opcode::AsyncCancel::new(1).build(), Flags::empty(), 2)?;
    ring.submit_more()?;
    let mut results = ring.take(2)?;
    results.sort_unstable();
    let [(1, result), (2, 0)] = results[..] else {
        bail!("{results:?}");
    };
    let attempt = attempt(&client, &silent);
    stage.record(&attempt, &ring.caller, &ring.outcome(-result))?;
    // The socket goes on until it is closed.
    stage.settled_via(&ring.caller, &attempt, &silent, Settlement::Abandoned)?;
    drop(client);
    Ok(())
}

fn ended(_stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let silent = inet(SILENT, 80);
    fork(|| {
        let client = tcp()?;
        let mut ring = Ring::new()?;
        ring.push(connect(client.as_raw_fd(), &silent), Flags::empty(), 1)?;
        ring.submit()?;
        // The kernel takes away what is left.
        std::mem::forget((client, ring));
        Ok(())
    })?;
    succeed_all()?;
    // In its own time, which may be after the process's end.
    wait::until_true("the end of the attempt", || {
        let sockets = fs::read_to_string("/proc/thread-self/net/tcp")?;
        // The titles are left.
        Ok(sockets.lines().count() == 1)
    })
}

fn bad_arguments(stage: &Stage) -> Result<()> {
    let mut ring = Ring::new()?;
    let address = loopback(9);
    let client = tcp()?;
    // A pointer to nothing.
    let nothing = opcode::Connect::new(Fd(client.as_raw_fd()), ptr::null(), 16).build();
    ring.push(nothing, Flags::empty(), 1)?;
    ring.submit()?;
    expect(ring.errno_of(1)?, EFAULT)?;
    let fd = u64::try_from(client.as_raw_fd())?;
    let unreadable = Attempt::unreadable(fd, 0, 16).via("io_uring");
    stage.record(&unreadable, &ring.caller, &ring.outcome(EFAULT))?;
    // No descriptor, and none of a socket.
    if IO_URING_REFUSED.missing().is_none() {
        expect(
            ring.connect(stage, &Closed, &address, Flags::empty())?,
            EBADF,
        )?;
    }
    let (reader, _writer) = std::io::pipe()?;
    expect(
        ring.connect(stage, &reader, &address, Flags::empty())?,
        ENOTSOCK,
    )
}

/// A descriptor that nothing has.
struct Closed;

impl AsRawFd for Closed {
    fn as_raw_fd(&self) -> i32 {
        9999
    }
}

fn many_threads(stage: &Stage) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut ring = Ring::new()?;
                    let (_listener, address) = listener()?;
                    for round in 0..100 {
                        let flags = if round % 3 == 0 {
                            Flags::ASYNC
                        } else {
                            Flags::empty()
                        };
                        expect(ring.connect(stage, &tcp()?, &address, flags)?, 0)?;
                        expect(ring.connect(stage, &udp()?, &loopback(9), flags)?, 0)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("panic"))))
    })
}

fn mixed(stage: &Stage) -> Result<()> {
    let mut ring = Ring::new()?;
    let (_listener, address) = listener()?;
    for _ in 0..50 {
        expect(ring.connect(stage, &tcp()?, &address, Flags::empty())?, 0)?;
        stage.expect(0, &tcp()?, &address)?;
        stage.expect(ECONNREFUSED, &tcp()?, &loopback(9))?;
    }
    Ok(())
}

fn to_mapped(stage: &Stage) -> Result<()> {
    let mut ring = Ring::new()?;
    let of = |kind| socket(libc::AF_INET6, kind, 0);
    let (refusing, none) = (mapped([127, 0, 0, 1], 9), Flags::empty());
    expect(
        ring.connect(stage, &of(SOCK_STREAM)?, &refusing, none)?,
        ECONNREFUSED,
    )?;
    expect(
        ring.connect(stage, &of(libc::SOCK_DGRAM)?, &refusing, none)?,
        0,
    )
}

fn established_and_refused(_stage: &Stage) -> Result<()> {
    let mut ring = Ring::new()?;
    let (_listener, address) = listener()?;
    for address in [&address, &loopback(9)] {
        let client = tcp()?;
        ring.push(connect(client.as_raw_fd(), address), Flags::empty(), 1)?;
        ring.submit()?;
        ring.errno_of(1)?;
    }
    Ok(())
}
