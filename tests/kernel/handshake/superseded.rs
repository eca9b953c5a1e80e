//! Attempts that are given up because another address of the same try is faster, and those that are given up.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{begin, conclude, unanswered};
use crate::support::{
    attempt::Settlement,
    case::Case,
    child::{fork, in_thread, succeed},
    feature::SPEED,
    observation::Observation,
    sockaddr::{Sockaddr, inet},
    stage::Stage,
    syscall::tcp,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("superseded_by_another_address", superseded, at_once).needs(&SPEED),
    Case::new("superseded_by_a_call_that_waits", superseded, blocking).needs(&SPEED),
    Case::new("given_up_for_another_port", given_up, other_port),
    Case::new("given_up_beside_another_process", given_up, other_process),
    Case::new("given_up_beside_another_thread", given_up, other_thread),
    Case::new("given_up_a_while_after_another", given_up, later),
    Case::new("given_up_after_several_others", given_up, after_several),
];

/// Where nobody answers: see [`unanswered`].
const PORT: u16 = 80;

/// The attempt that was given up has the id of the one that was established, and is no failure.
fn superseded(case: &Case) -> Result<()> {
    let observation = case.run(&[])?;
    observation.assert_outcomes()?;
    assert_superseded(&observation)?;
    for options in [&["--failed"][..], &["--failed", "--settled"]] {
        let failed = case.run(options)?;
        failed.assert_nothing_lost()?;
        let shown = failed.connects.len() + failed.outcomes.len();
        ensure!(shown == 0, "{options:?}: {failed:?}");
    }
    Ok(())
}

/// Just one attempt is superseded, by one that was established.
pub(super) fn assert_superseded(observation: &Observation) -> Result<()> {
    let outcomes = &observation.outcomes;
    let mut of = outcomes
        .iter()
        .filter(|outcome| outcome.text("outcome").is_ok_and(|it| it == "abandoned"));
    let (Some(abandoned), None) = (of.next(), of.next()) else {
        anyhow::bail!("not one: {outcomes:?}");
    };
    let by = abandoned.text("superseded_by")?;
    let mut all = observation.connects.iter().chain(outcomes);
    let by = all
        .find(|event| {
            event.text("id").is_ok_and(|id| id == by) && !event.0.contains_key("unsettled")
        })
        .context("superseded by nobody")?;
    let errno = by.integer("errno")?;
    ensure!(errno == 0, "{by:?}");
    Ok(())
}

/// The attempt is abandoned, and a failure.
fn given_up(case: &Case) -> Result<()> {
    for options in [&[][..], &["--failed"]] {
        let observation = case.run(options)?;
        observation.assert_nothing_lost()?;
        let outcomes = observation.outcomes.iter();
        let mut of =
            outcomes.filter(|outcome| outcome.text("outcome").is_ok_and(|it| it == "abandoned"));
        let (Some(abandoned), None) = (of.next(), of.next()) else {
            anyhow::bail!("{options:?}: not one: {observation:?}");
        };
        ensure!(
            !abandoned.0.contains_key("superseded_by"),
            "{options:?}: {abandoned:?}"
        );
    }
    Ok(())
}

/// Somebody who listens at the last address of this number, and what to connect to.
fn answering(last: u8, port: u16) -> Result<(TcpListener, Sockaddr)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::new(127, 0, 0, last), port))?;
    Ok((listener, inet([127, 0, 0, last], port)))
}

/// Connects, and has what became of it written down.
fn established(stage: &Stage, address: &Sockaddr) -> Result<TcpStream> {
    let socket = begin(stage, address)?;
    conclude(stage, &socket, address, 0)?;
    Ok(socket)
}

/// Gives an attempt up.
fn give_up(stage: &Stage, socket: TcpStream, address: &Sockaddr) -> Result<()> {
    stage.settled(&socket, address, Settlement::Abandoned)?;
    drop(socket);
    Ok(())
}

fn at_once(stage: &Stage) -> Result<()> {
    let (_listener, address) = answering(1, PORT)?;
    let (socket, silent) = unanswered(stage)?;
    let _connected = established(stage, &address)?;
    give_up(stage, socket, &silent)
}

fn blocking(stage: &Stage) -> Result<()> {
    let (_listener, address) = answering(1, PORT)?;
    let (socket, silent) = unanswered(stage)?;
    let connected = tcp()?;
    stage.expect(0, &connected, &address)?;
    give_up(stage, socket, &silent)
}

fn other_port(stage: &Stage) -> Result<()> {
    let (_listener, address) = answering(1, PORT + 1)?;
    let (socket, silent) = unanswered(stage)?;
    let _connected = established(stage, &address)?;
    give_up(stage, socket, &silent)
}

fn other_process(stage: &Stage) -> Result<()> {
    let (_listener, address) = answering(1, PORT)?;
    let (socket, silent) = unanswered(stage)?;
    succeed(fork(|| established(stage, &address).map(drop))?)?;
    give_up(stage, socket, &silent)
}

/// Of the same family, so it may be a try of its own.
fn other_thread(stage: &Stage) -> Result<()> {
    let (_listener, address) = answering(1, PORT)?;
    let (socket, silent) = unanswered(stage)?;
    let _connected = in_thread(|| established(stage, &address))?;
    give_up(stage, socket, &silent)
}

/// A prober that waits for each of its hosts as long as it has time.
fn later(stage: &Stage) -> Result<()> {
    let (_listener, address) = answering(1, PORT)?;
    let (socket, silent) = unanswered(stage)?;
    let _connected = established(stage, &address)?;
    let timeout = Timespec::try_from(Duration::from_millis(200))?;
    let ready = poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&timeout))?;
    ensure!(ready == 0, "somebody has answered");
    give_up(stage, socket, &silent)
}

/// A prober whose time is up at the very moment when the last of its hosts answers.
fn after_several(stage: &Stage) -> Result<()> {
    let (_first, first) = answering(1, PORT)?;
    let (_second, second) = answering(2, PORT)?;
    let (socket, silent) = unanswered(stage)?;
    let _connected = established(stage, &first)?;
    let timeout = Timespec::try_from(Duration::from_millis(200))?;
    let ready = poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&timeout))?;
    ensure!(ready == 0, "somebody has answered");
    let _connected = established(stage, &second)?;
    give_up(stage, socket, &silent)
}
