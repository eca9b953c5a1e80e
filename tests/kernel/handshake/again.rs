//! Programs that ask for an attempt again, by another connect: it counts once all the same.

use std::{collections::BTreeMap, net::TcpStream, os::fd::AsFd as _, time::Duration};

use anyhow::{Result, ensure};
use io_uring::squeue::Flags;
use libc::{
    EALREADY, ECONNABORTED, ECONNREFUSED, EINPROGRESS, EISCONN, SOCK_NONBLOCK, SOCK_STREAM,
};
use rustix::event::{PollFd, PollFlags, poll};

use super::{begin, listener, unanswered, wait};
use crate::{
    interrupted::peer::Deaf,
    support::{
        attempt::Settlement,
        case::Case,
        child::{fork, in_thread, succeed},
        feature::MULTIPATH,
        network::SILENT,
        observation::{Event, Observation},
        option,
        ring::Ring,
        sockaddr::{inet, loopback, unspec},
        stage::Stage,
        syscall::{listen, socket, tcp},
    },
};

pub(crate) const CASES: &[Case] = &[
    Case::new("asked_again_counts_once", counts_once, ways).brief(),
    Case::new(
        "asked_again_by_io_uring_counts_once",
        counts_io_uring,
        by_io_uring,
    ),
    Case::new("asked_again_by_mptcp_counts_once", counts_mptcp, by_mptcp).needs(&MULTIPATH),
];

fn counts_io_uring(case: &Case) -> Result<()> {
    let all = case.run(&[])?;
    all.assert_nothing_lost()?;
    let asked = all.connects.iter().filter(|event| asks(event)).count();
    ensure!(asked == 2, "{asked} calls ask again: {:?}", all.connects);
    assert_results(&case.run(&["--settled"])?, &[("established", 1)])
}

/// What the program's attempts come to: results, and how many have each.
const ATTEMPTS: [(&str, usize); 5] = [
    ("established", 4),
    ("ok", 2),
    // Three of one socket that blocks; and others, of which each is asked for once more.
    ("ECONNREFUSED", 6),
    ("abandoned", 3),
    // Of a socket that listens: it is no attempt's.
    ("EISCONN", 1),
];

fn counts_once(case: &Case) -> Result<()> {
    let all = case.run(&[])?;
    all.assert_outcomes()?;
    let asked = all.connects.iter().filter(|event| asks(event)).count();
    ensure!(asked == 14, "{asked} calls ask again: {:?}", all.connects);
    let settled = case.run(&["--settled"])?;
    assert_results(&settled, &ATTEMPTS)?;
    let [_, _, failures @ ..] = ATTEMPTS;
    assert_results(&case.run(&["--failed"])?, &failures)?;
    // As many as were asked for, whether they are shown as calls or as outcomes.
    for options in [
        &["--settled", "--count", "4"],
        &["--failed", "--count", "4"],
    ] {
        let some = case.run(options)?;
        let shown = some.connects.len() + some.outcomes.len();
        ensure!(shown == 4, "{options:?}: {shown} shown");
    }
    Ok(())
}

fn counts_mptcp(case: &Case) -> Result<()> {
    let settled = case.run(&["--settled"])?;
    assert_results(&settled, &[("established", 1), ("ECONNREFUSED", 1)])
}

/// Whether the event is of a call that only asks for an attempt.
fn asks(Event(keys): &Event) -> bool {
    keys.contains_key("attempt") && keys.get("attempt") != keys.get("id")
}

/// Exactly these results are there, and no attempt twice.
fn assert_results(observation: &Observation, expected: &[(&str, usize)]) -> Result<()> {
    observation.assert_nothing_lost()?;
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let mut attempts = Vec::new();
    for event in observation.connects.iter().chain(&observation.outcomes) {
        ensure!(!asks(event), "{event:?}");
        attempts.push(event.text("id")?);
        let outcome = event.text("outcome").unwrap_or("ok");
        let result = event.text("error.type").unwrap_or(outcome);
        *found.entry(result).or_default() += 1;
    }
    attempts.sort_unstable();
    let all = attempts.len();
    attempts.dedup();
    ensure!(attempts.len() == all, "an attempt twice: {observation:?}");
    let expected: BTreeMap<_, _> = expected.iter().copied().collect();
    ensure!(found == expected, "{found:?}, not {expected:?}");
    Ok(())
}

/// Every way to ask again.
fn ways(stage: &Stage) -> Result<()> {
    while_it_goes_on(stage)?;
    once_established(stage)?;
    once_refused(stage)?;
    not_about_an_attempt(stage)
}

fn while_it_goes_on(stage: &Stage) -> Result<()> {
    // Asked for by who does not wait, and who waits for a moment.
    let (socket, silent) = unanswered(stage)?;
    stage.expect(EALREADY, &socket, &silent)?;
    option::limit_waiting(&socket, Duration::from_millis(1))?;
    socket.set_nonblocking(false)?;
    stage.expect(EALREADY, &socket, &silent)?;
    stage.settled(&socket, &silent, Settlement::Abandoned)?;
    drop(socket);
    // Begun by who waits for a moment.
    let socket = tcp()?;
    option::limit_waiting(&socket, Duration::from_millis(1))?;
    stage.expect(EINPROGRESS, &socket, &silent)?;
    stage.expect(EALREADY, &socket, &silent)?;
    stage.settled(&socket, &silent, Settlement::Abandoned)?;
    drop(socket);
    // Waited for until it is established.
    let deaf = Deaf::new(9)?;
    let socket = begin(stage, &deaf.address)?;
    stage.expect(EALREADY, &socket, &deaf.address)?;
    socket.set_nonblocking(false)?;
    deaf.hear()?;
    stage.expect(0, &socket, &deaf.address)?;
    stage.settled(&socket, &deaf.address, Settlement::Established)
}

fn once_established(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    // By its own thread, by another and by a child.
    let socket = begin(stage, &address)?;
    stage.settled(&socket, &address, Settlement::Established)?;
    ensure!(wait(&socket)? == 0, "not connected");
    stage.expect(0, &socket, &address)?;
    in_thread(|| stage.expect(EISCONN, &socket, &address))?;
    succeed(fork(|| stage.expect(EISCONN, &socket, &address))?)?;
    // Whose call waited.
    let socket = tcp()?;
    stage.expect(0, &socket, &address)?;
    stage.expect(EISCONN, &socket, &address)?;
    // Of a socket that has had another attempt before, which was dissolved.
    let socket = begin(stage, &inet(SILENT, 80))?;
    stage.expect(0, &socket, &unspec(16))?;
    stage.settled(&socket, &inet(SILENT, 80), Settlement::Abandoned)?;
    stage.expect(EINPROGRESS, &socket, &address)?;
    stage.settled(&socket, &address, Settlement::Established)?;
    ensure!(wait(&socket)? == 0, "not connected");
    stage.expect(0, &socket, &address)
}

fn once_refused(stage: &Stage) -> Result<()> {
    let refusing = loopback(10);
    // The error goes to who asks first: by a call, or by the option.
    let socket = begin(stage, &refusing)?;
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
    stage.settled(&socket, &refusing, Settlement::Failed(ECONNREFUSED))?;
    stage.expect(ECONNREFUSED, &socket, &refusing)?;
    let socket = begin(stage, &refusing)?;
    ensure!(wait(&socket)? == ECONNREFUSED, "not refused");
    stage.settled(&socket, &refusing, Settlement::Failed(ECONNREFUSED))?;
    stage.expect(ECONNABORTED, &socket, &refusing)?;
    // And then the same socket makes the next attempt.
    let (_listener, address) = listener()?;
    stage.expect(EINPROGRESS, &socket, &address)?;
    stage.settled(&socket, &address, Settlement::Established)?;
    ensure!(wait(&socket)? == 0, "not connected");
    stage.expect(0, &socket, &address)?;
    // Each of these is an attempt.
    let socket = tcp()?;
    for _ in 0..3 {
        stage.expect(ECONNREFUSED, &socket, &refusing)?;
    }
    Ok(())
}

/// A socket that listens is not connected, also if it has had an attempt.
fn not_about_an_attempt(stage: &Stage) -> Result<()> {
    let refusing = loopback(10);
    let socket: TcpStream = begin(stage, &refusing)?;
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
    stage.settled(&socket, &refusing, Settlement::Failed(ECONNREFUSED))?;
    stage.expect(ECONNREFUSED, &socket, &refusing)?;
    listen(socket.as_fd(), 1)?;
    stage.expect(EISCONN, &socket, &refusing)
}

fn by_io_uring(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let socket = begin(stage, &address)?;
    ensure!(wait(&socket)? == 0, "not connected");
    let mut ring = Ring::new()?;
    for errno in [0, EISCONN] {
        let got = ring.connect(stage, &socket, &address, Flags::empty())?;
        ensure!(got == errno, "{got} instead of {errno}");
    }
    Ok(())
}

fn by_mptcp(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let refusing = loopback(10);
    for (address, errno) in [(&address, 0), (&refusing, ECONNREFUSED)] {
        let socket: TcpStream = socket(
            libc::AF_INET,
            SOCK_STREAM | SOCK_NONBLOCK,
            libc::IPPROTO_MPTCP,
        )?
        .into();
        stage.expect(EINPROGRESS, &socket, address)?;
        poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
        stage.expect(errno, &socket, address)?;
    }
    Ok(())
}
