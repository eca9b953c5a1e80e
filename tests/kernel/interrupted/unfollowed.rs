//! A kernel that does not show signals: what becomes of an interrupted call is unknown, and the agent
//! reports that.

use std::{fs, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{EINTR, SA_RESTART, SIGKILL, SIGUSR1, SIGUSR2};
use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    process::{WaitOptions, waitpid},
    thread::UnshareFlags,
};

use super::{
    killed::never_return,
    peer::Full,
    signals::{child, during, on_only_count},
    truth::{Moment, Scene, now},
    verdict::Verdict,
};
use crate::support::{
    agent,
    case::Case,
    hook::Hook,
    namespace::unshare,
    observer::{Command, Observer},
    scratch::Scratch,
    stage::Stage,
    truth::{Caller, ERESTARTSYS},
};

/// Each return that the hook shows is an event.
pub(super) fn calls(stage: &Stage) -> Result<()> {
    const TIMES: usize = 3;
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    on_only_count(SIGUSR2, 0)?;
    for errno in [0, EINTR] {
        let peer = Full::new(scene, &format!("{errno}"))?;
        let before = Moment::now();
        let call = || {
            // What the caller knows of its call is not what the hook shows.
            let got = peer.target().make().errno();
            ensure!(got == errno, "the call got {got} instead of {errno}");
            Ok(Caller::me())
        };
        let (caller, (seen, last)) = during(call, |victim| {
            let (mut seen, mut before) = (Vec::new(), before);
            for _ in 0..TIMES {
                let blocked = victim.blocked()?;
                let next = Moment::now();
                seen.push((before, blocked, victim.interrupt_and_restart(SIGUSR1)?));
                before = next;
            }
            let blocked = victim.blocked()?;
            let ending = now();
            match errno {
                0 => peer.let_in()?,
                _ => victim.send(SIGUSR2)?,
            }
            Ok((seen, (before, blocked, ending)))
        })?;
        for (before, blocked, sent) in seen {
            let made = peer.target().told(&caller, before, ERESTARTSYS);
            let made = made.entered_by(blocked).ended_from(sent.at);
            scene.tell(made.ended_by(sent.begun))?;
        }
        let (before, blocked, ending) = last;
        let shown = if errno == 0 { 0 } else { ERESTARTSYS };
        let made = peer.target().told(&caller, before, shown);
        scene.tell(made.entered_by(blocked).ended_from(ending))?;
    }
    let peer = Full::new(scene, "killed")?;
    let before = Moment::now();
    let victim = child(|| never_return(peer.target()))?;
    let blocked = victim.blocked()?;
    let sent = now();
    victim.send(SIGKILL)?;
    waitpid(Some(victim.pid), WaitOptions::empty())?;
    let pid = victim.pid.as_raw_nonzero().get();
    let caller = Caller {
        pid,
        tid: pid,
        ..Caller::me()
    };
    let made = peer.target().told(&caller, before, ERESTARTSYS);
    scene.tell(made.entered_by(blocked).ended_from(sent))
}

pub(super) fn assert_said(case: &Case) -> Result<()> {
    // What happens to the mounts of this thread, its children inherit, and nobody else.
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let scratch = Scratch::new()?;
            hide_signals(&scratch)?;
            observe(case, &scratch)?;
            check()
        });
        thread
            .join()
            .map_err(|_panic| anyhow!("a thread panicked"))?
    })
}

/// As on a kernel that has no tracepoints of signals, as far as the agent can see.
fn hide_signals(scratch: &Scratch) -> Result<()> {
    let empty = scratch.file("empty");
    fs::create_dir(&empty)?;
    unshare(UnshareFlags::NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount_bind(&empty, "/sys/kernel/tracing/events/signal").context("cannot hide the hook")
}

fn observe(case: &Case, scratch: &Scratch) -> Result<()> {
    let command = Command::run(&[], case.command(scratch, "")?);
    let hook = Hook::new()?;
    let observation = Observer::start(scratch, &command)?.end()?;
    Verdict::new(observation.clone(), &hook)?.assert_exact()?;
    let stderr = observation.stderr;
    ensure!(
        stderr
            .lines()
            .any(|line| line.starts_with("note: ") && line.contains("ERESTARTSYS")),
        "the agent does not say what it makes of interrupted calls:\n{stderr}"
    );
    Ok(())
}

fn check() -> Result<()> {
    let ended = agent::run(["check"])?;
    let page = ended.stdout;
    ensure!(
        ended.status.success(),
        "check ended with {}:\n{page}",
        ended.status
    );
    ensure!(
        page.contains("ERESTARTSYS"),
        "check does not say what becomes of interrupted calls:\n{page}"
    );
    Ok(())
}
