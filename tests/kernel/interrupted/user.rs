//! A process changes its user while one of its threads waits in a call.
//!
//! In the kernel each thread has a user of its own. So the C library sends a signal to every other
//! thread, whose handler has `SA_RESTART` and makes the same change there (nptl(7)).

use anyhow::{Result, ensure};

use super::{
    peer::Full,
    signals::{child, during},
    truth::{Scene, now},
    verdict::Verdict,
};
use crate::support::{case::Case, child::succeed, stage::Stage};

const NOBODY: u32 = 65534;

pub(super) fn changed(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let peer = Full::new(scene, "peer")?;
    let victim = child(|| {
        let (made, (blocked, ending)) = during(
            || peer.target().make().that_got(0),
            |victim| {
                let blocked = victim.blocked()?;
                // SAFETY: takes integers. The other thread is in a system call.
                let result = unsafe { libc::setresuid(NOBODY, 0, 0) };
                ensure!(result == 0, "{}", std::io::Error::last_os_error());
                victim.blocked()?;
                let ending = now();
                peer.let_in()?;
                Ok((blocked, ending))
            },
        )?;
        let made = made.entered_by(blocked).ended_from(ending);
        scene.tell(made.restarted(1).with("process.real_user.id", 0))
    })?;
    succeed(victim.pid)
}

/// As for the name of the task, it is the user at the entry that counts.
pub(super) fn assert_one(case: &Case) -> Result<()> {
    Verdict::of(case, "", &["--uid", "0"])?.assert_exact()?;
    Verdict::of(case, "", &[])?.assert_exact()
}
