//! Threads: many at once, and such that outlive their leader.

use std::{
    sync::Barrier,
    thread::{self, ScopedJoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use libc::EBADF;

use crate::support::{
    case::Case,
    sockaddr::{inet, loopback, unix_abstract},
    stage::{Attempt, Stage},
    syscall::{udp, unix_stream},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("many_threads_at_once", many),
    Case::exact("threads_outlive_their_leader", leaderless),
];

/// How many threads.
const THREADS: u8 = 64;
/// How many calls each makes.
const CALLS: u16 = 200;

/// Each thread has addresses of its own, so nothing of one can pass for another's.
fn many(stage: &Stage) -> Result<()> {
    let together = Barrier::new(THREADS.into());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let together = &together;
                scope.spawn(move || -> Result<()> {
                    let (datagram, stream) = (udp()?, unix_stream()?);
                    together.wait();
                    for call in 1..=CALLS {
                        match call % 4 {
                            0 => {
                                let name = format!("{number}/{call}");
                                let address = unix_abstract(name.as_bytes());
                                stage.connect(&Attempt::new(&stream, &address))?;
                            }
                            1 => {
                                let address = inet([10, number, 0, 1], call);
                                stage.expect_of(EBADF, &Attempt::new(&-1, &address))?;
                            }
                            _ => stage.expect(0, &datagram, &inet([127, number, 0, 1], call))?,
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })
}

fn join(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// The process lives on when its first thread has ended.
fn leaderless(stage: &Stage) -> Result<()> {
    stage.expect(0, &udp()?, &loopback(1))?;
    let leader = rustix::thread::gettid();
    let stage_of_thread = Stage::stay(stage.directory(), &stage.role)?;
    thread::spawn(move || {
        let result = after_leader(&stage_of_thread, leader);
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        // SAFETY: ends the process, of which nobody else is left.
        unsafe { libc::_exit(i32::from(result.is_err())) }
    });
    // SAFETY: ends this thread alone. What is on its stack stays as it is, for nobody.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    Err(anyhow!("the leader is still there"))
}

fn after_leader(stage: &Stage, leader: rustix::process::Pid) -> Result<()> {
    let status = format!("/proc/self/task/{}/stat", leader.as_raw_nonzero());
    crate::support::wait::until_true("the end of the leader", || {
        let stat = std::fs::read_to_string(&status)?;
        let (_, state) = stat.rsplit_once(") ").context("no state")?;
        Ok(state.starts_with('Z'))
    })?;
    stage.expect(0, &udp()?, &loopback(2))?;
    // What it starts is observed as well.
    thread::scope(|scope| join(scope.spawn(|| stage.expect(0, &udp()?, &loopback(3)))))?;
    stage.expect(0, &udp()?, &loopback(4))
}
