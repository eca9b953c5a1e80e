//! The table of calls under way: it holds living threads only, and what it cannot hold is counted.

use std::{sync::Barrier, thread};

use anyhow::{Result, ensure};
use libc::EBADF;
use rustix::thread::gettid;

use crate::support::{
    attempt::Attempt,
    case::Case,
    child::{await_gone, fork, in_thread, join, succeed},
    compare::{self, Missed},
    sockaddr::loopback,
    stage::Stage,
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "dead_threads_leave_nothing_behind",
        small_table_exact,
        dying_threads,
    ),
    Case::new(
        "dead_processes_leave_nothing_behind",
        small_table_exact,
        dying_processes,
    ),
    Case::new(
        "calls_without_room_in_the_table_are_counted",
        overfull,
        living_threads,
    ),
];

/// How many threads the agent is asked to keep track of.
const CAPACITY: usize = 64;
/// How many live and call at once, in the case of too many.
const LIVING: u16 = 200;
const CALLS: u16 = 20;

fn small_table_exact(case: &Case) -> Result<()> {
    case.run(&["--threads", &CAPACITY.to_string()])?
        .assert_exact()
}

fn dying_threads(stage: &Stage) -> Result<()> {
    for number in 0..3000 {
        let call = || {
            let address = loopback(number);
            stage.expect_of(EBADF, &Attempt::new(&-1, &address))?;
            anyhow::Ok(gettid())
        };
        await_gone(in_thread(call)?)?;
    }
    Ok(())
}

fn dying_processes(stage: &Stage) -> Result<()> {
    for number in 0..500 {
        let address = loopback(number);
        let call = || stage.expect_of(EBADF, &Attempt::new(&-1, &address));
        succeed(fork(call)?)?;
    }
    Ok(())
}

fn living_threads(stage: &Stage) -> Result<()> {
    let together = Barrier::new(LIVING.into());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..LIVING)
            .map(|number| {
                let together = &together;
                scope.spawn(move || -> Result<()> {
                    together.wait();
                    for call in 0..CALLS {
                        let address = loopback(number * CALLS + call);
                        stage.expect_of(EBADF, &Attempt::new(&-1, &address))?;
                    }
                    together.wait();
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })
}

/// As many threads as the table holds are seen with each of their calls; of the others, every call
/// is counted.
fn overfull(case: &Case) -> Result<()> {
    let observation = case.run(&["--threads", &CAPACITY.to_string()])?;
    let made = usize::from(LIVING) * usize::from(CALLS);
    ensure!(
        observation.truth.len() == made,
        "{} calls",
        observation.truth.len()
    );
    let seen = observation.connects.len();
    let lost = observation.lost();
    ensure!(
        observation.lost.keys().eq(["inflight_full"]),
        "lost: {:?}",
        observation.lost
    );
    ensure!(
        seen as u64 + lost == made as u64,
        "{made} made, {seen} seen, {lost} lost"
    );
    let threads = observation.threads()?;
    ensure!(
        threads.len() == CAPACITY,
        "calls of {} threads",
        threads.len()
    );
    let of_seen = observation.truth.iter().filter(|call| {
        let tid = call
            .keys
            .get("thread.id")
            .and_then(serde_json::Value::as_i64);
        tid.is_some_and(|tid| threads.contains_key(&tid))
    });
    compare::exact(of_seen, &observation.connects, &Missed::default())
}
