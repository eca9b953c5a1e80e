//! `run --user`: the command is somebody else, and nothing of root is left to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use rustix::thread::CapabilitySet;

use crate::{
    circumstances::{NOBODY, as_nobody_with},
    ended::{agent, end, run},
    support::{agent::command_at, scratch::Scratch},
};

/// What a process is, by line of its status.
fn status(user: &str) -> BTreeMap<String, String> {
    let ended = end(&mut as_user(user, &["cat", "/proc/self/status"]));
    ended.assert_code(0);
    let lines = ended.stdout.lines().filter_map(|line| line.split_once(':'));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    lines
        .map(|(name, value)| (name.to_owned(), words(value)))
        .collect()
}

fn as_user(user: &str, words: &[&str]) -> Command {
    let mut command = agent(["run", "-o", "/dev/null", "--user", user, "--"]);
    command.args(words);
    command
}

/// Numbers that id(1) says of a user.
fn id(option: &str, user: &str) -> Vec<u32> {
    let output = Command::new("id").args([option, user]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

/// A user who is in more than one group, if there is one.
fn with_groups() -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let mut names = users.lines().filter_map(|line| line.split(':').next());
    names
        .find(|name| id("-G", name).len() > 1)
        .unwrap_or("nobody")
        .to_owned()
}

#[test]
fn user_and_groups_are_those_of_the_database() {
    let name = with_groups();
    let [uid, gid] = ["-u", "-g"].map(|option| id(option, &name)[0]);
    let groups: BTreeSet<_> = id("-G", &name).into_iter().collect();
    for typed in [&name, &uid.to_string()] {
        let status = status(typed);
        let four = |id: u32| format!("{id} {id} {id} {id}");
        assert_eq!(status["Uid"], four(uid), "{typed}");
        assert_eq!(status["Gid"], four(gid), "{typed}");
        let has = status["Groups"].split(' ');
        let has: BTreeSet<u32> = has.map(|group| group.parse().unwrap()).collect();
        assert_eq!(has, groups, "{typed}");
    }
}

#[test]
fn no_capability_is_left() {
    let status = status("nobody");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0".repeat(16), "{set}");
    }
    let folder = Scratch::new().unwrap();
    let file = folder.file("of-root");
    fs::write(&file, "secret").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let path = file.to_str().unwrap();
    let ended = end(&mut as_user("nobody", &["cat", path]));
    ended.assert_code(1);
    assert_eq!(ended.stdout, "");
}

/// Also where the agent is no root, and its capabilities would be inherited.
#[test]
fn no_ambient_capability_is_left() {
    let all = CapabilitySet::BPF
        | CapabilitySet::PERFMON
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SYS_ADMIN;
    let copy = Scratch::new().unwrap();
    fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).unwrap();
    let path = copy.file("connect-observer");
    fs::copy(crate::support::agent::path(), &path).unwrap();
    let mut command = command_at(
        &path,
        [
            "run",
            "-o",
            "/dev/null",
            "--user",
            "daemon",
            "--",
            "cat",
            "/proc/self/status",
        ],
    );
    as_nobody_with(&mut command, all);
    let ended = end(&mut command);
    ended.assert_code(0);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let line = ended.stdout.lines().find(|line| line.starts_with(set));
        assert!(line.unwrap().ends_with(&"0".repeat(16)), "{line:?}");
    }
}

#[test]
fn root_stays_root() {
    let (named, itself) = (status("root"), status("0"));
    assert_eq!(named["CapEff"], itself["CapEff"]);
    assert_ne!(named["CapEff"], "0".repeat(16));
}

/// As runuser(1) has it: what says who the user is, and nothing else.
#[test]
fn the_environment_says_who_it_is() {
    let mut command = as_user("nobody", &["env"]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("KEPT", "as it was")
        .env("HOME", "/root")
        .env("USER", "root");
    let ended = end(&mut command);
    ended.assert_code(0);
    let mut lines: Vec<_> = ended.stdout.lines().collect();
    lines.sort_unstable();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = users.lines().find(|line| line.starts_with("nobody:"));
    let fields: Vec<_> = nobody.unwrap().split(':').collect();
    assert_eq!(
        lines,
        [
            &format!("HOME={}", fields[5]),
            "KEPT=as it was",
            "LOGNAME=nobody",
            "PATH=/usr/bin:/bin",
            &format!("SHELL={}", fields[6]),
            "USER=nobody",
        ]
    );
}

/// Nor does it keep anything that the agent has open.
#[test]
fn no_descriptor_is_left() {
    let list = ["ls", "/proc/self/fd"];
    for mut command in [
        as_user("nobody", &list),
        agent(["run", "-o", "/dev/null", "--", list[0], list[1]]),
    ] {
        let mut direct = Command::new(list[0]);
        let direct = direct.arg(list[1]).stdin(Stdio::null()).output().unwrap();
        let ended = end(&mut command);
        ended.assert_code(0);
        assert_eq!(ended.stdout.as_bytes(), direct.stdout);
    }
}

#[test]
fn its_connects_are_observed() {
    let mut command = agent([
        "run", "-o", "-", "--output", "json", "--user", "nobody", "--",
    ]);
    // Where Python is may be no place for everybody.
    let ended = end(command.args(["bash", "-c", "exec 3<>/dev/udp/127.0.0.1/9; exit 6"]));
    ended.assert_code(6);
    let uid = format!("\"process.real_user.id\":{NOBODY}");
    let line = ended.stdout.lines().find(|line| line.contains(":9,"));
    assert!(line.unwrap().contains(&uid), "{}", ended.stdout);
    let ready = ended.stderr.lines().find(|line| line.starts_with("ready"));
    assert!(ready.unwrap().contains(" as user nobody "), "{ready:?}");
}

#[test]
fn nobody_of_that_name_is_wrong_usage() {
    for user in [
        "no-such-user",
        "4000000000",
        "4294967295",
        "-1",
        "+0",
        "0x0",
        "ro\x1bot",
    ] {
        let ended = run(["run", &format!("--user={user}"), "--", "echo", "started"]);
        ended.assert_code(2);
        assert_eq!(ended.stdout, "");
        let line = ended.only_line();
        assert!(
            line.starts_with("error: --user ") && line.contains("no such user"),
            "{line}"
        );
        assert!(!line.contains('\x1b'), "{line:?}");
    }
}

/// What the user may not execute is told as for everybody.
#[test]
fn a_command_that_the_user_may_not_execute() {
    let folder = Scratch::new().unwrap();
    let program = folder.file("program");
    fs::copy("/bin/true", &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    let ended = end(&mut as_user("nobody", &[program.to_str().unwrap()]));
    ended.assert_code(126);
    let line = ended.only_error();
    assert!(line.contains("Permission denied"), "{line}");
}
