//! Who calls: user and cgroup.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::{Uid, getuid},
    thread::{UnshareFlags, set_thread_res_uid},
};

use crate::support::{
    attempt::Attempt,
    case::Case,
    child::{fork, in_thread, succeed},
    namespace::unshare,
    sockaddr::loopback,
    stage::Stage,
    syscall::udp,
    truth::Caller,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("real_user_is_reported", users),
    Case::exact(
        "user_of_a_user_namespace_is_the_initial_one",
        user_namespace,
    ),
    Case::exact("cgroup_is_the_inode_of_its_directory", cgroup),
];

fn users(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let call = |port| stage.expect(0, &socket, &loopback(port));
    let become_user = |real, effective| -> Result<()> {
        let [real, effective] = [real, effective].map(Uid::from_raw);
        Ok(set_thread_res_uid(real, effective, Uid::ROOT)?)
    };
    call(1)?;
    // A thread of its own user, as a file server has.
    in_thread(|| {
        become_user(1234, 4321)?;
        call(2)
    })?;
    succeed(fork(|| {
        become_user(65534, 65534)?;
        call(3)
    })?)?;
    succeed(fork(|| {
        become_user(u32::MAX - 1, 0)?;
        call(4)
    })?)?;
    call(5)
}

/// Within, the user has no name: nobody has mapped it.
fn user_namespace(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let me = Caller::me();
    unshare(UnshareFlags::NEWUSER)?;
    ensure!(getuid().as_raw() != me.uid, "the namespace changes nothing");
    let address = loopback(1);
    let attempt = Attempt::new(&socket, &address);
    stage.record(&attempt, &me, &attempt.make())
}

/// Mounts the hierarchy for itself, as a machine may have it anywhere or nowhere.
fn cgroup(stage: &Stage) -> Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let root = stage.file("cgroup");
    fs::create_dir(&root)?;
    mount("none", &root, "cgroup2", MountFlags::empty(), None).context("no cgroup v2")?;
    let of_root = in_root_cgroup(stage, &root);
    unmount(&root, UnmountFlags::DETACH)?;
    of_root
}

fn in_root_cgroup(stage: &Stage, root: &Path) -> Result<()> {
    let socket = udp()?;
    let call = |directory: &Path| {
        let id = fs::metadata(directory)?.ino();
        let address = loopback(1);
        let attempt = Attempt::new(&socket, &address);
        stage.expect_of(0, &attempt.in_cgroup(id))
    };
    let enter = |directory: &Path| fs::write(directory.join("cgroup.procs"), "0");
    // Where we were put by whoever has started the tests.
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    let mine = cgroups.lines().find_map(|line| line.strip_prefix("0::/"));
    let mine = root.join(mine.context("in no cgroup v2")?);
    call(&mine)?;

    let name = format!("connect-observer-test-{}", std::process::id());
    let (child, grandchild) = (root.join(&name), root.join(&name).join("below"));
    fs::create_dir_all(&grandchild)?;
    let result = (|| {
        enter(&child)?;
        call(&child)?;
        succeed(fork(|| {
            enter(&grandchild)?;
            call(&grandchild)
        })?)?;
        call(&child)
    })();
    enter(&mine)?;
    fs::remove_dir(&grandchild)?;
    fs::remove_dir(&child)?;
    result?;
    call(&mine)
}
