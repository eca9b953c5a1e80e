//! A cgroup of the observed program's own, with a policy.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSockAddr},
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::UnshareFlags,
};

use super::{namespace::unshare, stage::Stage};

/// The hierarchy, mounted for this process alone, as a machine may have it anywhere or nowhere; and
/// a group in it, in which this process is until this is dropped.
pub(crate) struct Cgroup {
    root: PathBuf,
    before: PathBuf,
    own: PathBuf,
}

impl Cgroup {
    pub(crate) fn enter(stage: &Stage) -> Result<Self> {
        unshare(UnshareFlags::NEWNS)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;
        let root = stage.file("cgroup");
        fs::create_dir(&root)?;
        mount("none", &root, "cgroup2", MountFlags::empty(), None).context("no cgroup v2")?;
        let cgroups = fs::read_to_string("/proc/self/cgroup")?;
        let before = cgroups.lines().find_map(|line| line.strip_prefix("0::/"));
        let name = format!("connect-observer-test-{}", std::process::id());
        let cgroup = Self {
            before: root.join(before.context("in no cgroup v2")?),
            own: root.join(name),
            root,
        };
        fs::create_dir(&cgroup.own)?;
        fs::write(cgroup.own.join("cgroup.procs"), "0")?;
        Ok(cgroup)
    }

    /// Attaches a program of [`policy::OBJECT`], in force until the result is dropped.
    pub(crate) fn enforce(&self, program: &str) -> Result<Ebpf> {
        let mut object = Ebpf::load(policy::OBJECT).context("no policy")?;
        let policy = object.program_mut(program).context("no such policy")?;
        let policy: &mut CgroupSockAddr = policy.try_into()?;
        policy.load()?;
        policy.attach(File::open(&self.own)?, CgroupAttachMode::Single)?;
        Ok(object)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Whoever is still in it makes its removal fail, which hurts nobody.
        let _left = fs::write(self.before.join("cgroup.procs"), "0");
        let _removed = fs::remove_dir(&self.own);
        let _unmounted = unmount(&self.root, UnmountFlags::DETACH);
    }
}
