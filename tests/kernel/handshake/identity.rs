//! Whose attempt it is: not that of a descriptor, nor of whoever happens to end it.

use std::{
    collections::BTreeSet,
    net::TcpStream,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use libc::{EALREADY, ECONNREFUSED, EISCONN, ENETUNREACH};
use rustix::event::{PollFd, PollFlags, poll};

use super::{begin, conclude, listener, not_blocking, unanswered, wait};
use crate::{
    interrupted::peer::Deaf,
    support::{
        attempt::Settlement,
        case::{Case, Seen},
        child::{fork, in_thread, succeed},
        network::{SILENT, route_to_silence},
        observation::{Event, Observation},
        sockaddr::{inet, loopback, unspec},
        stage::Stage,
        truth::Caller,
    },
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("outcome_is_of_the_socket_not_of_its_descriptor", reused),
    Case::outcomes("abandoned_only_with_the_last_descriptor", duplicated),
    Case::outcomes("outcome_of_an_attempt_that_another_thread_ends", by_thread),
    Case::outcomes("outcome_of_an_attempt_that_a_child_ends", by_child),
    Case::outcomes("outcome_of_an_attempt_whose_thread_is_gone", by_dead_thread),
    Case::of_seen(
        "polling_by_connect_is_the_same_attempt",
        |_, Seen { observation, .. }| {
            observation.assert_outcomes()?;
            // Three sockets, one attempt each, but for the last, which makes two.
            ensure!(
                attempts(&observation)? == [3, 3, 2, 1, 1],
                "{observation:?}"
            );
            Ok(())
        },
        polling,
    ),
    Case::outcomes("sockets_at_one_address_are_told_apart", recycled),
];

/// How many events of calls each attempt has, in their order; calls of no attempt count as one.
fn attempts(observation: &Observation) -> Result<Vec<usize>> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for Event(keys) in &observation.connects {
        let key = keys.get("attempt").or(keys.get("id"));
        let key = key.and_then(|key| key.as_str()).context("no id")?;
        match counts.iter_mut().find(|(known, _)| known == key) {
            Some((_, count)) => *count += 1,
            None => counts.push((key.to_owned(), 1)),
        }
    }
    Ok(counts.into_iter().map(|(_, count)| count).collect())
}

/// The old attempt goes on under another descriptor while a new socket has taken its own.
fn reused(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let (old, old_address) = unanswered(stage)?;
    let caller = Caller::me();
    let fd = old.as_raw_fd();
    let kept = old.try_clone()?;
    drop(old);
    let new = begin(stage, &address)?;
    ensure!(new.as_raw_fd() == fd, "another descriptor");
    conclude(stage, &new, &address, 0)?;
    drop(kept);
    stage.settled_of(&caller, fd, &old_address, Settlement::Abandoned)
}

fn duplicated(stage: &Stage) -> Result<()> {
    let deaf = Deaf::new(9)?;
    let first = begin(stage, &deaf.address)?;
    let (caller, fd) = (Caller::me(), first.as_raw_fd());
    let second = first.try_clone()?;
    drop(first);
    // Not abandoned, as it can still be established.
    deaf.hear()?;
    ensure!(wait(&second)? == 0, "not connected");
    stage.settled_of(&caller, fd, &deaf.address, Settlement::Established)
}

fn by_thread(stage: &Stage) -> Result<()> {
    let (socket, address) = unanswered(stage)?;
    let (caller, fd) = (Caller::me(), socket.as_raw_fd());
    in_thread(move || {
        drop(socket);
        Ok(())
    })?;
    stage.settled_of(&caller, fd, &address, Settlement::Abandoned)
}

fn by_child(stage: &Stage) -> Result<()> {
    let (socket, address) = unanswered(stage)?;
    let (caller, fd) = (Caller::me(), socket.as_raw_fd());
    let child = fork(|| {
        stage.await_mark("closed")?;
        // The last that has it.
        // SAFETY: it is the child's own copy, which nobody uses again.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(())
    })?;
    drop(socket);
    stage.mark("closed")?;
    succeed(child)?;
    stage.settled_of(&caller, fd, &address, Settlement::Abandoned)
}

fn by_dead_thread(stage: &Stage) -> Result<()> {
    let deaf = Deaf::new(9)?;
    let (socket, caller) = in_thread(|| Ok((begin(stage, &deaf.address)?, Caller::me())))?;
    deaf.hear()?;
    ensure!(wait(&socket)? == 0, "not connected");
    let fd = socket.as_raw_fd();
    stage.settled_of(&caller, fd, &deaf.address, Settlement::Established)
}

fn polling(stage: &Stage) -> Result<()> {
    // Asked while it goes on, then when it is established, then once more.
    let deaf = Deaf::new(9)?;
    let socket = begin(stage, &deaf.address)?;
    stage.expect(EALREADY, &socket, &deaf.address)?;
    deaf.hear()?;
    ensure!(wait(&socket)? == 0, "not connected");
    stage.expect(0, &socket, &deaf.address)?;
    stage.settled(&socket, &deaf.address, Settlement::Established)?;

    // Begun and polled with the listener gone; and once settled, again.
    let (_listener, address) = listener()?;
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, 0)?;
    stage.expect(0, &socket, &address)?;
    stage.expect(EISCONN, &socket, &address)?;

    // What the call returns is the end of the attempt; then a new one fails before it begins.
    let refusing = loopback(10);
    let socket: TcpStream = begin(stage, &refusing)?;
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
    stage.expect(ECONNREFUSED, &socket, &refusing)?;
    stage.settled(&socket, &refusing, Settlement::Failed(ECONNREFUSED))?;
    stage.expect(ENETUNREACH, &socket, &inet([192, 0, 2, 1], 80))?;
    stage.expect(0, &not_blocking()?, &unspec(16))
}

/// One after the other, so that the kernel uses the same memory again; some settled, some not.
fn recycled(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let refusing = loopback(9);
    route_to_silence()?;
    let silent = inet(SILENT, 80);
    let mut descriptors = BTreeSet::new();
    for _ in 0..200 {
        let socket = begin(stage, &silent)?;
        descriptors.insert(socket.as_raw_fd());
        stage.settled(&socket, &silent, Settlement::Abandoned)?;
        drop(socket);
        let socket = begin(stage, &address)?;
        conclude(stage, &socket, &address, 0)?;
        drop(socket);
        let socket = begin(stage, &refusing)?;
        conclude(stage, &socket, &refusing, ECONNREFUSED)?;
    }
    ensure!(descriptors.len() == 1, "{descriptors:?}");
    Ok(())
}
