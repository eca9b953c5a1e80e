//! Calls that never return: their thread is killed, or ends or executes in a signal handler.

use std::{env, ffi::OsString, fs, os::unix::process::CommandExt as _, process::Command, thread};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use libc::{SA_RESTART, SIGCONT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use rustix::{
    process::{
        Pid, Resource, Rlimit, WaitOptions, WaitStatus, getpid, getrlimit, setrlimit, waitpid,
    },
    thread::gettid,
};

use super::{
    peer::{Deaf, Full},
    signals::{Victim, await_pid, child, fail, on, on_only_count},
    truth::{Moment, Scene, Target, keep, now},
    verdict::Verdict,
};
use crate::support::{
    case::Case,
    child::succeed,
    sockaddr::loopback,
    stage::Stage,
    syscall::{tcp, udp},
    truth::Caller,
    wait,
};

/// The role of a program that has been executed in place of the one whose call was interrupted.
const EXECUTED: &str = "executed";

/// As the initial pid namespace numbers it. It has our name and our user.
pub(super) fn caller(victim: Victim) -> Caller {
    let [pid, tid] = [victim.pid, victim.tid].map(|id| id.as_raw_nonzero().get());
    Caller {
        pid,
        tid,
        ..Caller::me()
    }
}

fn ended(pid: Pid) -> Result<WaitStatus> {
    let (_, status) = waitpid(Some(pid), WaitOptions::empty())?.context("a child without end")?;
    Ok(status)
}

pub(super) fn ended_by(pid: Pid, signal: i32) -> Result<()> {
    let status = ended(pid)?;
    ensure!(
        status.terminating_signal() == Some(signal),
        "ended with {status:?}"
    );
    Ok(())
}

/// Makes a call that must not return.
pub(super) fn never_return(target: Target<'_>) -> Result<()> {
    let made = target.make();
    bail!("this call should not have returned: {made:?}")
}

pub(super) fn by_signals(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let (full, deaf, socket) = (Full::new(scene, "full")?, Deaf::new(7000)?, tcp()?);
    let targets = [full.target(), Target::new(&socket, &deaf.address)];
    let kill = |signal, target: Target<'_>| {
        let before = Moment::now();
        let victim = child(|| {
            dump_core_into(stage)?;
            on_only_count(SIGUSR1, SA_RESTART)?;
            never_return(target)
        })?;
        let blocked = victim.blocked()?;
        let sent = now();
        victim.send(signal)?;
        ended_by(victim.pid, signal)?;
        let made = target.unreturned(&caller(victim), before);
        scene.tell(made.entered_by(blocked).ended_from(sent))
    };
    for signal in [SIGKILL, SIGTERM, SIGQUIT] {
        for target in targets {
            kill(signal, target)?;
            kill(signal, target)?;
        }
    }
    after_restarts(scene, full.target())?;
    while_stopped(scene, full.target())?;
    // The same socket is still good.
    full.let_in()?;
    scene.tell(full.target().make().that_got(0)?)
}

/// A task that ends is still in its cgroup.
pub(super) fn assert_one_cgroup(case: &Case) -> Result<()> {
    let verdict = Verdict::of(case, "", &[])?;
    verdict.assert_exact()?;
    let connects = &verdict.observation.connects;
    let id = connects.first().context("no event")?.integer("cgroup.id")?;
    for event in connects {
        ensure!(
            event.integer("cgroup.id")? == id,
            "elsewhere than {id}: {event:?}"
        );
    }
    Ok(())
}

fn dump_core_into(stage: &Stage) -> Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Core, limit)?;
    Ok(env::set_current_dir(stage.directory())?)
}

fn after_restarts(scene: &Scene, target: Target<'_>) -> Result<()> {
    const TIMES: u32 = 3;
    let before = Moment::now();
    let victim = child(|| {
        on_only_count(SIGUSR1, SA_RESTART)?;
        never_return(target)
    })?;
    let blocked = victim.blocked()?;
    for _ in 0..TIMES {
        victim.interrupt_and_restart(SIGUSR1)?;
    }
    let sent = now();
    victim.send(SIGKILL)?;
    ended_by(victim.pid, SIGKILL)?;
    let made = target.unreturned(&caller(victim), before).restarted(TIMES);
    scene.tell(made.entered_by(blocked).ended_from(sent))
}

/// Its time ends with its last return, which is when it was stopped.
fn while_stopped(scene: &Scene, target: Target<'_>) -> Result<()> {
    for last in [SIGKILL, SIGTERM] {
        let before = Moment::now();
        let victim = child(|| never_return(target))?;
        let blocked = victim.blocked()?;
        let stopping = now();
        victim.send(SIGSTOP)?;
        victim.await_state('T')?;
        let stopped = now();
        victim.send(last)?;
        if last != SIGKILL {
            victim.send(SIGCONT)?;
        }
        ended_by(victim.pid, last)?;
        let made = target.unreturned(&caller(victim), before);
        let made = made.entered_by(blocked).ended_from(stopping);
        scene.tell(made.ended_by(stopped))?;
    }
    Ok(())
}

/// Several threads of a child, each with a call that waits.
struct Threads {
    peers: Vec<Full>,
    before: Moment,
}

impl Threads {
    const COUNT: usize = 4;

    fn new(scene: &Scene, name: &str) -> Result<Self> {
        let peers = (0..Self::COUNT).map(|number| Full::new(scene, &format!("{name} {number}")));
        Ok(Self {
            peers: peers.collect::<Result<_>>()?,
            before: Moment::now(),
        })
    }

    /// In the child: starts a thread per call, and returns when each waits.
    fn start(&'static self, scene: &'static Scene) -> Result<Vec<Victim>> {
        let mut victims = Vec::new();
        for peer in &self.peers {
            let file = Self::file(peer);
            thread::spawn(move || {
                let tid = gettid().as_raw_nonzero();
                let left = fs::write(scene.stage.file(&file), format!("{tid}\n"));
                let returned = left
                    .map_err(Into::into)
                    .and_then(|()| never_return(peer.target()));
                returned.unwrap_or_else(|error| fail(&error));
            });
        }
        for peer in &self.peers {
            let victim = Self::victim(scene, getpid(), peer)?;
            victim.blocked()?;
            victims.push(victim);
        }
        Ok(victims)
    }

    /// Says that nothing came of the calls, after `pid` has ended all of them.
    fn tell(&self, scene: &Scene, pid: Pid) -> Result<()> {
        for peer in &self.peers {
            let victim = Self::victim(scene, pid, peer)?;
            scene.tell(peer.target().unreturned(&caller(victim), self.before))?;
        }
        Ok(())
    }

    fn victim(scene: &Scene, pid: Pid, peer: &Full) -> Result<Victim> {
        let tid = await_pid(&scene.stage.file(&Self::file(peer)))?;
        Ok(Victim { pid, tid })
    }

    fn file(peer: &Full) -> String {
        format!("thread {}", peer.address().bytes.escape_ascii()).replace('\\', "")
    }
}

pub(super) fn by_another_thread(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    // It ends the process.
    for round in 0..5 {
        let threads = keep(Threads::new(scene, &format!("exit {round}"))?);
        let victim = child(|| {
            threads.start(scene)?;
            // SAFETY: ends the process, and runs nothing.
            unsafe { libc::_exit(0) }
        })?;
        succeed(victim.pid)?;
        threads.tell(scene, victim.pid)?;
    }
    // It kills it.
    let threads = keep(Threads::new(scene, "kill")?);
    let victim = child(|| {
        let victims = threads.start(scene)?;
        victims.first().context("no thread")?.send(SIGKILL)?;
        bail!("survived")
    })?;
    ended_by(victim.pid, SIGKILL)?;
    threads.tell(scene, victim.pid)
}

/// It executes: every other thread is killed, and it takes the first one's id, whose call was
/// interrupted too.
pub(super) fn by_exec_of_another_thread(stage: &Stage) -> Result<()> {
    if stage.role == EXECUTED {
        return stage.expect(0, &udp()?, &loopback(9));
    }
    let scene = Scene::begin(stage)?;
    for round in 0..5 {
        let threads = keep(Threads::new(scene, &format!("exec {round}"))?);
        let first = keep(Full::new(scene, &format!("first {round}"))?);
        let before = Moment::now();
        let victim = child(|| {
            let first_thread = Victim::me();
            let execute = move || -> Result<()> {
                threads.start(scene)?;
                first_thread.blocked()?;
                bail!(execute()?)
            };
            thread::spawn(move || execute().unwrap_or_else(|error| fail(&error)));
            never_return(first.target())
        })?;
        succeed(victim.pid)?;
        threads.tell(scene, victim.pid)?;
        scene.tell(first.target().unreturned(&caller(victim), before))?;
    }
    Ok(())
}

/// Executes this program in another role. Returns only if that fails.
fn execute() -> Result<anyhow::Error> {
    let mut words: Vec<OsString> = env::args_os().collect();
    let role = words.pop();
    ensure!(role.is_some_and(|role| role.is_empty()), "a role already");
    let (program, arguments) = words.split_first().context("no words")?;
    let error = Command::new(program).args(arguments).arg(EXECUTED).exec();
    Ok(anyhow!(error).context("exec"))
}

/// A handler that does not return, as its thread or process ends in it.
pub(super) fn by_their_handler(stage: &Stage) -> Result<()> {
    if stage.role == EXECUTED {
        return stage.expect(0, &udp()?, &loopback(9));
    }
    let scene = Scene::begin(stage)?;
    // Its process ends.
    on(SIGUSR1, SA_RESTART, |_| {
        // SAFETY: ends the process, and runs nothing.
        unsafe { libc::_exit(0) }
    })?;
    for round in 0..3 {
        let peer = Full::new(scene, &format!("exit {round}"))?;
        in_child(scene, &peer)?;
    }
    // It executes.
    on(SIGUSR1, SA_RESTART, |_| bail!(execute()?))?;
    let peer = Full::new(scene, "exec")?;
    in_child(scene, &peer)?;
    // It executes, in a thread that takes another id by it.
    let threads = keep(Threads::new(scene, "exec in a thread")?);
    let victim = child(|| {
        let victims = threads.start(scene)?;
        victims.last().context("no thread")?.send(SIGUSR1)?;
        park()
    })?;
    succeed(victim.pid)?;
    threads.tell(scene, victim.pid)?;
    // Its thread ends, and no other.
    on(SIGUSR1, SA_RESTART, |_| {
        // SAFETY: ends this thread alone. What is on its stack stays as it is, for nobody.
        unsafe {
            libc::syscall(libc::SYS_exit, 0);
        }
        bail!("a thread survived")
    })?;
    let threads = keep(Threads::new(scene, "exit of a thread")?);
    let victim = child(|| {
        for victim in threads.start(scene)? {
            victim.send(SIGUSR1)?;
            let tid = victim.tid.as_raw_nonzero();
            wait::until_true("the end of a thread", || {
                Ok(!fs::exists(format!("/proc/self/task/{tid}"))?)
            })?;
        }
        Ok(())
    })?;
    succeed(victim.pid)?;
    threads.tell(scene, victim.pid)
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

/// A child whose handler of SIGUSR1 does not return.
fn in_child(scene: &Scene, peer: &Full) -> Result<()> {
    let before = Moment::now();
    let victim = child(|| never_return(peer.target()))?;
    let blocked = victim.blocked()?;
    let sent = now();
    victim.send(SIGUSR1)?;
    succeed(victim.pid)?;
    let made = peer.target().unreturned(&caller(victim), before);
    scene.tell(made.entered_by(blocked).ended_from(sent))
}

/// A call whose handler has interrupted another one.
pub(super) fn with_the_calls_that_they_interrupted(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for round in 0..5 {
        let peer = |name: &str| anyhow::Ok(keep(Full::new(scene, &format!("{name} {round}"))?));
        let [outer, middle, inner] = [peer("outer")?, peer("middle")?, peer("inner")?];
        let before = Moment::now();
        let victim = child(|| {
            on(SIGUSR1, SA_RESTART, |_| never_return(middle.target()))?;
            on(SIGUSR2, SA_RESTART, |_| never_return(inner.target()))?;
            never_return(outer.target())
        })?;
        let blocked = [victim.blocked()?, 0, 0];
        let interrupted = Moment::now();
        let first = victim.interrupt(SIGUSR1)?;
        let blocked = [blocked[0], victim.blocked()?, 0];
        let interrupted_again = Moment::now();
        let second = victim.interrupt(SIGUSR2)?;
        let blocked = [blocked[0], blocked[1], victim.blocked()?];
        let killing = now();
        victim.send(SIGKILL)?;
        ended_by(victim.pid, SIGKILL)?;
        let caller = caller(victim);
        let made = outer
            .target()
            .unreturned(&caller, before)
            .entered_by(blocked[0]);
        scene.tell(made.ended_from(first.at).ended_by(first.begun))?;
        let made = middle
            .target()
            .unreturned(&caller, interrupted)
            .entered_by(blocked[1]);
        scene.tell(made.ended_from(second.at).ended_by(second.begun))?;
        let made = inner
            .target()
            .unreturned(&caller, interrupted_again)
            .entered_by(blocked[2]);
        scene.tell(made.ended_from(killing))?;
    }
    Ok(())
}
