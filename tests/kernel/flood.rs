//! More calls than the ring buffer can hold: every one is either seen or counted as lost.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, sync::Barrier, thread};

use anyhow::{Context as _, Result, ensure};
use libc::EBADF;
use rustix::thread::gettid;

use crate::support::{
    case::Case,
    child::join,
    feature::may_miss,
    observation::Observation,
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::inet,
    stage::Stage,
    syscall::{connect, register},
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "ring_filled_past_capacity_loses_nothing_uncounted",
        small_ring,
        flood,
    )
    .alone(),
    Case::new(
        "flood_of_the_default_ring_loses_nothing_uncounted",
        default_ring,
        flood,
    )
    .alone(),
    Case::new(
        "ring_that_nobody_reads_keeps_what_fits",
        unread_ring,
        dammed_flood,
    ),
];

/// Threads that flood, on any machine more than there are processors in a test machine.
const THREADS: u8 = 4;
/// Their file in the scratch directory: a thread id and its number of calls per line.
pub(crate) const MADE: &str = "made";
/// The smallest ring buffer, in bytes.
const RING_BYTES: u64 = 64 << 10;
/// A record and its header of 8 bytes in the ring buffer.
const RECORD: u64 = size_of::<connect_ebpf::record::Connect>() as u64 + 8;

/// Makes calls as fast as it can, as many in each thread as the role says. The port is the thread's
/// number, the address the call's.
pub(crate) fn flood(stage: &Stage) -> Result<()> {
    let calls: u32 = stage.role.parse()?;
    let together = Barrier::new(THREADS.into());
    let made = thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|number| {
                let together = &together;
                scope.spawn(move || -> Result<String> {
                    together.wait();
                    for call in 1..=calls {
                        let address = inet(call, number.into());
                        let pointer = address.bytes.as_ptr().expose_provenance() as u64;
                        let errno = connect(register(-1), pointer, address.len() as u64);
                        ensure!(errno == EBADF, "errno {errno}");
                    }
                    Ok(format!("{} {calls}\n", gettid().as_raw_nonzero()))
                })
            })
            .collect();
        threads.into_iter().map(join).collect::<Result<String>>()
    })?;
    fs::write(stage.file(MADE), made)?;
    stage.mark("flooded")
}

/// Every call of the flood is seen, as it was made and in order, or counted.
pub(crate) fn assert_accounted(observation: &Observation, made: &str) -> Result<()> {
    let made: BTreeMap<i64, u64> = made
        .lines()
        .map(|line| {
            let (tid, calls) = line.split_once(' ').context("no such line")?;
            Ok((tid.parse()?, calls.parse()?))
        })
        .collect::<Result<_>>()?;
    let total: u64 = made.values().sum();
    let (seen, lost) = (observation.connects.len() as u64, observation.lost());
    // What may have been missed is counted, also where it was not missed.
    ensure!(
        seen + lost == total || (may_miss() && seen + lost >= total),
        "{total} made, {seen} seen, {lost} lost: {:?}",
        observation.lost
    );
    for (tid, events) in observation.threads()? {
        ensure!(made.contains_key(&tid), "nobody has thread id {tid}");
        let mut before = Ipv4Addr::UNSPECIFIED;
        let port = events[0].integer("network.peer.port")?;
        for event in events {
            let address = event.text("network.peer.address")?.parse()?;
            ensure!(
                address > before && event.integer("network.peer.port")? == port,
                "after {before}:{port} came {event:?}"
            );
            before = address;
            ensure!(event.integer("errno")? == i64::from(EBADF), "{event:?}");
            ensure!(event.integer("addrlen")? == 16, "{event:?}");
            ensure!(event.integer("fd")? == -1, "{event:?}");
        }
    }
    Ok(())
}

/// The flood begins when its test asks for it.
fn dammed_flood(stage: &Stage) -> Result<()> {
    stage.mark("ready")?;
    stage.await_mark("go")?;
    flood(stage)
}

/// A few hundred records fit; the agent is woken and drains while the flood goes on.
fn small_ring(case: &Case) -> Result<()> {
    let observation = observe(case, &["--ring-kib", "64"], 20_000)?;
    let lost = observation.lost.get("ring_full");
    ensure!(lost.is_some(), "nothing was lost: {:?}", observation.lost);
    ensure!(!observation.connects.is_empty(), "nothing was seen");
    Ok(())
}

fn default_ring(case: &Case) -> Result<()> {
    observe(case, &[], 25_000)?;
    Ok(())
}

fn observe(case: &Case, options: &[&str], calls: u32) -> Result<Observation> {
    let scratch = Scratch::new()?;
    let command = case.command(&scratch, &calls.to_string())?;
    let observation = Observer::start(&scratch, &Command::run(options, command))?.end()?;
    assert_accounted(&observation, &scratch.text(MADE)?)?;
    Ok(observation)
}

/// The agent does not run at all while the ring buffer fills, so exactly as many are seen as fit.
fn unread_ring(case: &Case) -> Result<()> {
    let fit = (RING_BYTES - 1) / RECORD;
    let scratch = Scratch::new()?;
    let command = case.command(&scratch, "1000")?;
    let options = ["--ring-kib", &(RING_BYTES >> 10).to_string()];
    let agent = Observer::start(&scratch, &Command::run(&options, command))?;
    await_mark(scratch.path(), "ready")?;
    agent.stop()?;
    mark(scratch.path(), "go")?;
    await_mark(scratch.path(), "flooded")?;
    agent.go_on()?;
    let observation = agent.end()?;
    assert_accounted(&observation, &scratch.text(MADE)?)?;
    let seen = observation.connects.len() as u64;
    ensure!(seen == fit, "{seen} seen, {fit} fit");
    ensure!(
        observation.lost.keys().eq(["ring_full"]),
        "{:?}",
        observation.lost
    );
    Ok(())
}
