//! Many calls at once, filters, and what the table of calls under way keeps.

use std::{sync::atomic::Ordering::SeqCst, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{ECONNREFUSED, EINTR, SA_RESTART, SIGKILL, SIGUSR1, SIGUSR2};
use rustix::{
    process::{WaitOptions, waitpid},
    thread::gettid,
};
use serde_json::{Map, Value};

use super::{
    killed::never_return,
    peer::Full,
    signals::{Victim, child, count, during, on, on_only_count},
    truth::{Moment, Scene, keep, now},
    verdict::Verdict,
};
use crate::support::{
    case::Case,
    hook::Hook,
    observer::{Command, Observer},
    scratch::Scratch,
    sockaddr::loopback,
    stage::Stage,
    syscall::udp,
    truth::{Call, Caller},
    wait,
};

/// How many threads.
const THREADS: u32 = 32;
/// How often each is interrupted.
const TIMES: u32 = 10;

pub(super) fn threads(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    on_only_count(SIGUSR2, 0)?;
    let peers = (0..THREADS).map(|number| Full::new(scene, &format!("{number}")));
    let peers: Vec<_> = peers.collect::<Result<_>>()?;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let (tell, told) = std::sync::mpsc::channel();
        for peer in &peers {
            let tell = tell.clone();
            let thread = scope.spawn(move || -> Result<()> {
                tell.send(gettid())?;
                let made = peer.target().make().restarted(TIMES);
                scene.tell(made)?;
                // And a call that nothing interrupts.
                scene.stage.expect(0, &udp()?, &loopback(9))
            });
            let victim = Victim {
                tid: told.recv()?,
                ..Victim::me()
            };
            threads.push((victim, peer, thread));
        }
        let handled = &count(SIGUSR1)?.ended;
        for times in 1..=TIMES {
            for (victim, ..) in &threads {
                victim.blocked()?;
            }
            // All of them at once.
            for (victim, ..) in &threads {
                victim.send(SIGUSR1)?;
            }
            wait::until_true("every handler to end", || {
                Ok(handled.load(SeqCst) == times * THREADS)
            })?;
        }
        // Every other one fails in the end.
        for (number, (victim, peer, _)) in threads.iter().enumerate() {
            victim.blocked()?;
            if number % 2 == 0 {
                peer.let_in()?;
            } else {
                victim.send(SIGUSR2)?;
            }
        }
        for (.., thread) in threads {
            thread
                .join()
                .map_err(|_panic| anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}

/// Calls of each kind.
pub(super) fn of_each_kind(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    on_only_count(SIGUSR2, 0)?;
    for round in 0..5 {
        for (ending, errno) in [("success", 0), ("failure", ECONNREFUSED), ("signal", EINTR)] {
            let peer = Full::new(scene, &format!("{ending} {round}"))?;
            let (made, (blocked, ended)) = during(
                || peer.target().make().that_got(errno),
                |victim| {
                    let blocked = victim.blocked()?;
                    for _ in 0..round {
                        victim.interrupt_and_restart(SIGUSR1)?;
                    }
                    let ended = now();
                    match errno {
                        0 => peer.let_in()?,
                        EINTR => victim.send(SIGUSR2)?,
                        _ => peer.close(),
                    }
                    Ok((blocked, ended))
                },
            )?;
            scene.tell(made.entered_by(blocked).ended_from(ended).restarted(round))?;
        }
        let peer = keep(Full::new(scene, &format!("killed {round}"))?);
        kill(scene, &[peer])?;
    }
    Ok(())
}

/// Kills a child whose calls wait for these peers, each made by a handler that has interrupted the
/// one before.
fn kill(scene: &'static Scene, peers: &[&'static Full]) -> Result<()> {
    let signals = [SIGUSR1, SIGUSR2, libc::SIGRTMIN() + 1];
    let before = Moment::now();
    let mut moments = vec![before];
    let victim = child(|| {
        let (outermost, inner) = peers.split_first().context("no call")?;
        for (&peer, signal) in inner.iter().zip(signals) {
            on(signal, SA_RESTART, |_| never_return(peer.target()))?;
        }
        never_return(outermost.target())
    })?;
    victim.blocked()?;
    for (_, signal) in peers.iter().skip(1).zip(signals) {
        moments.push(Moment::now());
        victim.interrupt(signal)?;
        victim.blocked()?;
    }
    victim.send(SIGKILL)?;
    let (_, status) = waitpid(Some(victim.pid), WaitOptions::empty())?.context("no child")?;
    ensure!(status.terminating_signal() == Some(SIGKILL), "{status:?}");
    let pid = victim.pid.as_raw_nonzero().get();
    let caller = Caller {
        pid,
        tid: pid,
        ..Caller::me()
    };
    for (peer, before) in peers.iter().zip(moments) {
        scene.tell(peer.target().unreturned(&caller, before))?;
    }
    Ok(())
}

fn failed(call: &Call) -> bool {
    call.keys.get("errno") != Some(&Value::from(0))
}

pub(super) fn assert_filtered(case: &Case) -> Result<()> {
    Verdict::of(case, "", &[])?.assert_exact()?;
    Verdict::of(case, "", &["--failed"])?.assert_exactly(failed)?;
    let other_family = Verdict::of(case, "", &["--family", "inet"])?;
    ensure!(
        other_family.observation.connects.is_empty(),
        "events of another family"
    );
    Ok(())
}

/// Of everything on the host, exactly the program's calls are the program's.
pub(super) fn assert_traced(case: &Case) -> Result<()> {
    for options in [&[][..], &["--failed"]] {
        // Room for what others do on the host meanwhile.
        let options = [&["--ring-kib", "65536"], options].concat();
        let (scratch, hook) = (Scratch::new()?, Hook::new()?);
        let agent = Observer::start(&scratch, &Command::trace(&options))?;
        agent.ready()?;
        let program = case.start(&scratch, "")?;
        ensure!(program.end("the program")?.success(), "the program failed");
        let mut verdict = Verdict::new(agent.interrupt()?, &hook)?;
        let ours = |keys: &Map<String, Value>, truth: &[Call]| {
            let pid = keys.get("process.pid");
            truth.iter().any(|call| call.keys.get("process.pid") == pid)
        };
        let observation = &mut verdict.observation;
        let truth = &observation.truth;
        observation.connects.retain(|event| ours(&event.0, truth));
        if options.len() == 2 {
            verdict.assert_exact()?;
        } else {
            verdict.assert_exactly(failed)?;
        }
    }
    Ok(())
}

/// How many threads the agent is asked to keep track of.
const CAPACITY: &str = "8";

pub(super) fn assert_small_table(case: &Case) -> Result<()> {
    Verdict::of(case, "", &["--threads", CAPACITY])?.assert_exact()
}

/// A thread has as many calls as are kept under way, and sometimes more.
pub(super) fn assert_bounded_in_small_table(case: &Case) -> Result<()> {
    Verdict::of(case, "", &["--threads", "16"])?.assert_bounded()
}

/// Each leaves three calls behind, of which two are suspended.
pub(super) fn dying(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let peer = |name| anyhow::Ok(keep(Full::new(scene, name)?));
    let peers = [peer("outer")?, peer("middle")?, peer("inner")?];
    for _ in 0..40 {
        kill(scene, &peers)?;
    }
    Ok(())
}
