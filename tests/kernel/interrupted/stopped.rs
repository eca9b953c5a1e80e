//! Interruptions without a handler: stopped and continued, frozen and thawed, traced. The kernel
//! restarts the call at once, unless a handler says otherwise.

use std::{
    fs, io,
    path::{Path, PathBuf},
    ptr::null_mut,
};

use anyhow::{Context as _, Result, ensure};
use libc::{ECONNREFUSED, EINTR, SA_RESTART, SIGCONT, SIGSTOP, SIGTSTP};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::{Pid, WaitOptions, setsid, waitpid},
    thread::UnshareFlags,
};

use super::{
    peer::Full,
    signals::{Victim, act, child, count, on_only_count},
    truth::{Made, Scene, now},
};
use crate::support::{child::succeed, namespace::unshare, stage::Stage, wait};

/// A child whose call waits for a peer of its own.
struct Child {
    name: String,
    peer: Full,
    victim: Victim,
    /// When it was first seen in its call.
    blocked: u64,
}

impl Child {
    fn start(scene: &Scene, name: &str, first: impl FnOnce() -> Result<()>) -> Result<Self> {
        let peer = Full::new(scene, name)?;
        let victim = child(|| {
            peer.close();
            first()?;
            peer.target().make().leave(&scene.stage, name)
        })?;
        let blocked = victim.blocked()?;
        Ok(Self {
            name: name.to_owned(),
            peer,
            victim,
            blocked,
        })
    }

    /// What it says of its call, which must have got `errno`.
    fn end(self, scene: &Scene, errno: i32) -> Result<Made> {
        succeed(self.victim.pid)?;
        let made = Made::found(&scene.stage, &self.name)?.that_got(errno)?;
        Ok(made.entered_by(self.blocked))
    }

    /// Lets its call succeed after so many restarts.
    fn succeed(self, scene: &Scene, restarts: u32) -> Result<()> {
        let ending = now();
        self.peer.let_in()?;
        let made = self.end(scene, 0)?;
        scene.tell(made.ended_from(ending).restarted(restarts))
    }
}

fn stop_and_continue(victim: Victim) -> Result<()> {
    victim.send(SIGSTOP)?;
    victim.await_state('T')?;
    // Wakes it: when it sleeps again, it has been restarted.
    victim.send(SIGCONT)
}

pub(super) fn by_signals(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for times in [1, 4] {
        let child = Child::start(scene, &format!("success {times}"), || Ok(()))?;
        for _ in 0..times {
            stop_and_continue(child.victim)?;
            child.victim.blocked()?;
        }
        child.succeed(scene, times)?;

        let child = Child::start(scene, &format!("failure {times}"), || Ok(()))?;
        for _ in 0..times {
            stop_and_continue(child.victim)?;
            child.victim.blocked()?;
        }
        let ending = now();
        child.peer.close();
        let made = child.end(scene, ECONNREFUSED)?.ended_from(ending);
        scene.tell(made.restarted(times))?;
    }
    with_restart(scene)?;
    without_restart(scene)?;
    discarded(scene)
}

/// The signal that continues it has a handler, which agrees with a restart.
fn with_restart(scene: &Scene) -> Result<()> {
    const TIMES: u32 = 3;
    let child = Child::start(scene, "with SA_RESTART", || {
        on_only_count(SIGCONT, SA_RESTART)
    })?;
    for _ in 0..TIMES {
        let handled = &count(SIGCONT)?.ended;
        let before = handled.load(std::sync::atomic::Ordering::SeqCst);
        stop_and_continue(child.victim)?;
        wait::until_true("a handler to end", || {
            Ok(handled.load(std::sync::atomic::Ordering::SeqCst) != before)
        })?;
        child.victim.blocked()?;
    }
    child.succeed(scene, TIMES)
}

/// It has one that does not agree, but the first stop comes before it.
fn without_restart(scene: &Scene) -> Result<()> {
    let child = Child::start(scene, "without SA_RESTART", || on_only_count(SIGCONT, 0))?;
    let stopping = now();
    child.victim.send(SIGSTOP)?;
    child.victim.await_state('T')?;
    let stopped = now();
    child.victim.send(SIGCONT)?;
    let made = child.end(scene, EINTR)?;
    scene.tell(made.ended_from(stopping).ended_by(stopped))
}

/// A terminal's stop signal to a process whose group has lost its session is thrown away, but only
/// when it has interrupted the call.
fn discarded(scene: &Scene) -> Result<()> {
    const TIMES: u32 = 3;
    let own_session = || {
        setsid()?;
        act(SIGTSTP, 0, libc::SIG_DFL)
    };
    let child = Child::start(scene, "discarded", own_session)?;
    for _ in 0..TIMES {
        child.victim.send(SIGTSTP)?;
        child.victim.blocked()?;
    }
    child.succeed(scene, TIMES)
}

pub(super) fn by_debugger(stage: &Stage) -> Result<()> {
    const TIMES: u32 = 3;
    let scene = Scene::begin(stage)?;
    let attach = |pid| -> Result<()> {
        ptrace(libc::PTRACE_ATTACH.into(), pid)?;
        await_trap(pid)?;
        ptrace(libc::PTRACE_DETACH.into(), pid)
    };
    let seize = |pid| -> Result<()> {
        ptrace(libc::PTRACE_SEIZE.into(), pid)?;
        ptrace(libc::PTRACE_INTERRUPT.into(), pid)?;
        await_trap(pid)?;
        ptrace(libc::PTRACE_DETACH.into(), pid)
    };
    let ways: [fn(Pid) -> Result<()>; 2] = [attach, seize];
    for (name, way) in ["attached", "seized"].into_iter().zip(ways) {
        let child = Child::start(scene, name, || Ok(()))?;
        for _ in 0..TIMES {
            way(child.victim.pid)?;
            child.victim.blocked()?;
        }
        child.succeed(scene, TIMES)?;
    }
    Ok(())
}

fn ptrace(request: i64, pid: Pid) -> Result<()> {
    let (pid, nothing) = (pid.as_raw_nonzero().get(), null_mut::<libc::c_void>());
    // Not `libc::ptrace`, whose types depend on the C library.
    // SAFETY: none of these requests touches our memory.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, request, pid, nothing, nothing) };
    ensure!(result == 0, "ptrace: {}", io::Error::last_os_error());
    Ok(())
}

fn await_trap(pid: Pid) -> Result<()> {
    let (_, status) = waitpid(Some(pid), WaitOptions::empty())?.context("no child")?;
    ensure!(status.stopped(), "no stop: {status:?}");
    Ok(())
}

/// Mounts the hierarchy for itself, as a machine may have it anywhere or nowhere.
pub(super) fn by_freezer(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    unshare(UnshareFlags::NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let root = stage.file("cgroup");
    fs::create_dir(&root)?;
    mount("none", &root, "cgroup2", MountFlags::empty(), None).context("no cgroup v2")?;
    let cgroup = root.join(format!("connect-observer-test-{}", std::process::id()));
    let frozen = fs::create_dir(&cgroup)
        .map_err(Into::into)
        .and_then(|()| frozen(scene, &cgroup));
    fs::remove_dir(&cgroup)?;
    unmount(&root, UnmountFlags::DETACH)?;
    frozen
}

fn frozen(scene: &Scene, cgroup: &Path) -> Result<()> {
    const TIMES: u32 = 3;
    let procs: PathBuf = cgroup.join("cgroup.procs");
    let child = Child::start(scene, "frozen", || Ok(fs::write(procs, "0")?))?;
    for _ in 0..TIMES {
        fs::write(cgroup.join("cgroup.freeze"), "1")?;
        wait::until_true("a frozen cgroup", || {
            let events = fs::read_to_string(cgroup.join("cgroup.events"))?;
            Ok(events.lines().any(|line| line == "frozen 1"))
        })?;
        // Wakes it: when it sleeps again, it has been restarted.
        fs::write(cgroup.join("cgroup.freeze"), "0")?;
        child.victim.blocked()?;
    }
    child.succeed(scene, TIMES)
}
