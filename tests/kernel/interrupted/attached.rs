//! Hooks that come while a call is under way, which a signal interrupts afterwards.

use anyhow::{Result, ensure};
use libc::{EINTR, SA_RESTART, SIGUSR1, SIGUSR2};

use super::{
    peer::Full,
    signals::{during, on_only_count},
    truth::Scene,
    verdict::Verdict,
};
use crate::support::{
    case::Case,
    hook::Hook,
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::loopback,
    stage::Stage,
    syscall::udp,
};

/// Says how each call ends.
const ROLES: [&str; 2] = ["restarted", "failed"];

pub(super) fn under_way(stage: &Stage) -> Result<()> {
    const TIMES: u32 = 3;
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    on_only_count(SIGUSR2, 0)?;
    // What it does before there are hooks is no part of the truth.
    let unseen = Stage::stay(&stage.file("unseen"), "")?;
    let peer = Full::told_to(&unseen, &stage.role)?;
    let errno = if stage.role == "failed" { EINTR } else { 0 };
    let call = || {
        let made = peer.target().make().that_got(errno)?;
        // The thread's next call is seen whole.
        scene.stage.expect(0, &udp()?, &loopback(9))?;
        Ok(made)
    };
    let (made, ()) = during(call, |victim| {
        victim.blocked()?;
        stage.mark("blocked")?;
        stage.await_mark("ready")?;
        for _ in 0..TIMES {
            victim.interrupt_and_restart(SIGUSR1)?;
        }
        match errno {
            0 => peer.let_in(),
            _ => victim.send(SIGUSR2),
        }
    })?;
    scene.tell(made.restarted(TIMES).unentered())
}

pub(super) fn assert_exact(case: &Case) -> Result<()> {
    for role in ROLES {
        let (scratch, hook) = (Scratch::new()?, Hook::new()?);
        std::fs::create_dir(scratch.file("unseen"))?;
        let program = case.start(&scratch, role)?;
        await_mark(scratch.path(), "blocked")?;
        let pid = program.pid()?.as_raw_nonzero().to_string();
        let agent = Observer::start(&scratch, &Command::trace(&["--pid", &pid]))?;
        agent.ready()?;
        mark(scratch.path(), "ready")?;
        ensure!(program.end("the program")?.success(), "the program failed");
        let verdict = Verdict::new(agent.interrupt()?, &hook)?;
        verdict.assert_exact_events()?;
    }
    Ok(())
}
