//! What is missing is named exactly: one line, what it is and what to do, exit status 1, and
//! nothing is started.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use rustix::{process::Signal, thread::CapabilitySet};
use tempfile::{NamedTempFile, TempDir};

use crate::{
    circumstances::{
        as_nobody, as_nobody_with, as_root_with, in_user_namespace, on_old_kernel, without_bpf,
        without_tracefs,
    },
    ended::{agent, end},
    support::agent::{Agent, command_at, path},
    traffic::Traffic,
};

/// A copy of the binary that everybody may start, wherever the built one is.
struct Copy {
    folder: TempDir,
}

static COPY: LazyLock<Copy> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::copy(path(), folder.path().join("connect-observer")).unwrap();
    Copy { folder }
});

impl Copy {
    fn path(&self) -> PathBuf {
        self.folder.path().join("connect-observer")
    }
}

/// Says what is missing, in one line that contains all of this, and starts no command.
#[track_caller]
fn assert_told(prepare: impl Fn(&mut Command), mentions: &[&str]) {
    for arguments in [
        &["trace", "--duration", "0.1"][..],
        &["trace", "--output", "json", "--duration", "0.1"],
        &["run", "--", "echo", "started"],
    ] {
        let mut command = command_at(&COPY.path(), arguments);
        prepare(&mut command);
        let ended = end(&mut command);
        ended.assert_code(1);
        assert_eq!(ended.stdout, "", "nothing was begun: {arguments:?}");
        let line = ended.only_line();
        assert!(line.starts_with("error: "), "{line}");
        for mention in mentions {
            assert!(line.contains(mention), "{mention:?} in {line}");
        }
    }
}

/// And what was there before stays.
#[test]
fn leaves_the_file_of_the_events_alone() {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), "before").unwrap();
    let mut command = agent(["trace", "-o"]);
    command.arg(file.path());
    without_bpf(&mut command);
    end(&mut command).assert_code(1);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "before");
}

/// `check` says the same, and everything else as well.
#[track_caller]
fn assert_checked(prepare: impl Fn(&mut Command), mentions: &[&str]) {
    let mut command = command_at(&COPY.path(), ["check"]);
    prepare(&mut command);
    let ended = end(&mut command);
    ended.assert_code(1);
    assert_eq!(ended.stderr, "", "{}", ended.stdout);
    assert!(ended.stdout.contains("MISSING"), "{}", ended.stdout);
    for mention in mentions {
        assert!(
            ended.stdout.contains(mention),
            "{mention:?} in\n{}",
            ended.stdout
        );
    }
}

#[test]
fn privilege() {
    let mentions = ["CAP_BPF", "CAP_PERFMON", "root"];
    assert_told(as_nobody, &mentions);
    assert_checked(as_nobody, &mentions);
}

#[test]
fn half_of_the_privilege() {
    for (there, missing) in [
        (CapabilitySet::BPF, "no CAP_PERFMON"),
        (CapabilitySet::PERFMON, "no CAP_BPF"),
    ] {
        let prepare = |command: &mut Command| as_nobody_with(command, there);
        assert_told(prepare, &[missing]);
        assert_checked(prepare, &[missing]);
    }
}

#[test]
fn a_kernel_that_is_young_enough() {
    let mentions = ["kernel: 2.6.", "older than 5.10"];
    assert_told(on_old_kernel, &mentions);
    assert_checked(on_old_kernel, &["2.6.", "older than 5.10"]);
}

#[test]
fn the_initial_user_namespace() {
    assert_told(in_user_namespace, &["user namespace"]);
    assert_checked(in_user_namespace, &["user namespace"]);
}

#[test]
fn bpf_where_a_container_forbids_it() {
    let mentions = ["bpf(2)", "not permitted", "seccomp"];
    assert_told(without_bpf, &mentions);
    assert_checked(without_bpf, &mentions);
}

/// Only `run` and `--pid` need it; `trace` says what the kernel says.
#[test]
fn the_initial_pid_namespace() {
    for arguments in [
        &["run", "--", "echo", "started"][..],
        &["trace", "--pid", "1", "--duration", "0.1"],
    ] {
        // The first child of who asks for a pid namespace is the first one in it.
        let unshare = Path::new("unshare");
        let mut command = command_at(unshare, ["--pid", "--fork", "--"]);
        let ended = end(command.arg(path()).args(arguments));
        ended.assert_code(1);
        assert_eq!(ended.stdout, "");
        let line = ended.only_line();
        assert!(line.starts_with("error: pid namespace: "), "{line}");
    }
}

const ENOUGH: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

#[test]
fn tracefs_where_it_may_not_be_mounted() {
    let prepare = |command: &mut Command| {
        without_tracefs(command);
        as_root_with(command, ENOUGH.union(CapabilitySet::DAC_READ_SEARCH));
    };
    let mentions = ["tracefs: not mounted", "CAP_SYS_ADMIN", "mount -t tracefs"];
    assert_told(prepare, &mentions);
    assert_checked(prepare, &["not mounted", "mount -t tracefs"]);
}

#[test]
fn tracefs_where_it_may_not_be_read() {
    let prepare = |command: &mut Command| as_nobody_with(command, ENOUGH);
    let mentions = ["tracefs", "Permission denied", "CAP_DAC_READ_SEARCH"];
    assert_told(prepare, &mentions);
    assert_checked(prepare, &mentions);
}

/// Starts `trace`, expects it to work, and returns what it says.
#[track_caller]
fn assert_works(prepare: impl FnOnce(&mut Command)) -> String {
    let mut traffic = Traffic::start();
    let mut command = command_at(&COPY.path(), ["trace"]);
    command.args(traffic.filter());
    prepare(&mut command);
    let running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    traffic.connect(3);
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    assert_eq!(ended.totals().events, 3, "{}", ended.stderr);
    ended.stderr
}

#[test]
fn tracefs_is_mounted_where_it_may_be() {
    let said = assert_works(without_tracefs);
    assert!(
        said.contains("note: mounted tracefs on /sys/kernel/tracing\n"),
        "{said}"
    );
}

/// And `check` only prints that it would be.
#[test]
fn tracefs_is_not_mounted_by_check() {
    let mut command = agent(["check"]);
    without_tracefs(&mut command);
    let ended = end(&mut command);
    ended.assert_code(0);
    assert_eq!(ended.stderr, "");
    assert!(
        ended.stdout.contains("trace and run mount it"),
        "{}",
        ended.stdout
    );
}

/// Root is not needed where the capabilities are.
#[test]
fn nothing_is_missing_with_three_capabilities() {
    let said = assert_works(|command| {
        as_nobody_with(command, ENOUGH.union(CapabilitySet::DAC_READ_SEARCH));
    });
    assert!(!said.contains("WARN"), "{said}");
    assert_works(|command| as_root_with(command, ENOUGH));
}
