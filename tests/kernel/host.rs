//! `trace`: the whole host, also programs that the agent did not start.

use anyhow::{Result, ensure};
use rustix::{process::Uid, thread::set_thread_res_uid};

use crate::support::{
    case::Case,
    child::{fork, succeed},
    compare,
    observation::Observation,
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::loopback,
    stage::Stage,
    syscall::udp,
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "trace_sees_a_program_that_it_did_not_start",
        trace,
        stranger,
    )
    .alone(),
    Case::new(
        "agents_at_the_same_time_all_see_everything",
        several,
        stranger,
    ),
];

/// Room for what other programs of the host may do meanwhile.
const ROOMY: &[&str] = &["--ring-kib", "65536"];

/// The role is its real user, where it is to have another one.
fn stranger(stage: &Stage) -> Result<()> {
    if !stage.role.is_empty() {
        let user = Uid::from_raw(stage.role.parse()?);
        set_thread_res_uid(user, Uid::ROOT, Uid::ROOT)?;
    }
    let socket = udp()?;
    stage.mark("started")?;
    stage.await_mark("go")?;
    for port in 1..=50 {
        stage.expect(0, &socket, &loopback(port))?;
        succeed(fork(|| stage.expect(0, &socket, &loopback(port + 100)))?)?;
    }
    Ok(())
}

/// Of everything on the host, exactly the program's calls are the program's.
fn assert_exact_among_others(observation: &Observation) -> Result<()> {
    observation.assert_nothing_lost()?;
    let mut events = Vec::new();
    for event in &observation.connects {
        let pid = event.0.get("process.pid");
        if observation
            .truth
            .iter()
            .any(|call| call.keys.get("process.pid") == pid)
        {
            events.push(event);
        }
    }
    compare::exact(&observation.truth, events, &observation.missed_calls)
}

fn trace(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    let program = case.start(&scratch, "")?;
    await_mark(scratch.path(), "started")?;
    let agent = Observer::start(&scratch, &Command::trace(ROOMY))?;
    agent.ready()?;
    mark(scratch.path(), "go")?;
    ensure!(program.end("the program")?.success(), "the program failed");
    assert_exact_among_others(&agent.interrupt()?)
}

/// Two that trace the host, for a user that nobody else is, and one that runs the program.
fn several(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    let user = (1_000_000 + std::process::id()).to_string();
    let options = ["--uid", &user];
    let trace = |name| Observer::start(&scratch, &Command::trace(&options).named(name));
    let (one, two) = (trace("one")?, trace("two")?);
    one.ready()?;
    two.ready()?;
    let run = Command::run(&[], case.command(&scratch, &user)?);
    let runner = Observer::start(&scratch, &run)?;
    await_mark(scratch.path(), "started")?;
    mark(scratch.path(), "go")?;
    runner.end()?.assert_exact()?;
    for tracer in [one, two] {
        tracer.interrupt()?.assert_exact()?;
    }
    Ok(())
}
