//! Threads: many at once, and such that outlive their leader.

use std::{convert::Infallible, os::unix::process::CommandExt as _, sync::Barrier, thread};

use anyhow::{Result, anyhow};
use libc::EBADF;
use rustix::{process::Pid, thread::gettid};

use crate::support::{
    attempt::Attempt,
    case::Case,
    child::{in_thread, join, state},
    sockaddr::{inet, loopback, unix_abstract},
    stage::Stage,
    syscall::{udp, unix_stream},
    wait,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("many_threads_at_once", many).brief(),
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

/// The process lives on when its first thread has ended, also in another program.
fn leaderless(stage: &Stage) -> Result<()> {
    stage.expect(0, &udp()?, &loopback(1))?;
    if stage.role == "next" {
        return Ok(());
    }
    let leader = gettid();
    let stage = Stage::stay(stage.directory(), &stage.role)?;
    thread::spawn(move || {
        let Err(error) = after_leader(&stage, leader);
        eprintln!("{error:#}");
        // SAFETY: ends the process, of which nobody else is left.
        unsafe { libc::_exit(1) }
    });
    // SAFETY: ends this thread alone. What is on its stack stays as it is, for nobody.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
    }
    Err(anyhow!("the leader is still there"))
}

fn after_leader(stage: &Stage, leader: Pid) -> Result<Infallible> {
    wait::until_true(
        "the end of the leader",
        || Ok(state(leader, leader)? == 'Z'),
    )?;
    stage.expect(0, &udp()?, &loopback(2))?;
    // What it starts is observed as well.
    in_thread(|| stage.expect(0, &udp()?, &loopback(3)))?;
    stage.expect(0, &udp()?, &loopback(4))?;
    Err(stage.again("next")?.exec().into())
}
