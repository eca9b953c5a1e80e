//! `check` promises what `trace` sees, wherever it runs; of what it cannot know, it claims nothing.

use std::{fs, process::Command};

use rustix::{process::Signal, thread::CapabilitySet};
use serde_json::Value;

use crate::{
    circumstances::{
        as_nobody, as_root_with, with_empty_sys, with_masked_btf, with_sys_read_only, without_bpf,
        without_btf, without_proc, without_sys, without_tracefs,
    },
    ended::{agent, end},
    support::agent::{Agent, Ended},
};

const WAYS: [&str; 7] = [
    "syscall",
    "compat",
    "io_uring",
    "unknown",
    "address",
    "interruption",
    "outcome",
];

/// What surrounds the agent.
type Circumstance<'a> = &'a dyn Fn(&mut Command);

fn checked(prepare: impl Fn(&mut Command)) -> Ended {
    let mut command = agent(["check"]);
    prepare(&mut command);
    let ended = end(&mut command);
    assert_eq!(ended.stderr, "");
    ended
}

/// What it says of one requirement or way, with the mend below.
#[track_caller]
fn said(page: &str, name: &str) -> String {
    let start = format!("{name:24} ");
    let mut lines = page.lines().skip_while(|line| !line.starts_with(&start));
    let first = lines.next().unwrap_or_else(|| panic!("no {name}:\n{page}"));
    let first = first.strip_prefix(&start).unwrap();
    let below = lines.take_while(|line| line.starts_with("  "));
    [first].into_iter().chain(below).collect()
}

/// What `trace` says of itself when its hooks are live.
fn coverage(prepare: impl Fn(&mut Command)) -> Value {
    let mut command = agent(["trace", "--output", "json"]);
    prepare(&mut command);
    let running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let first = ended.stdout.lines().next().expect("a notice");
    serde_json::from_str(first).unwrap()
}

#[test]
fn is_what_trace_sees() {
    let enough = CapabilitySet::BPF.union(CapabilitySet::PERFMON);
    let circumstances: [(&str, Circumstance<'_>); 6] = [
        ("plain", &|_| {}),
        ("without tracefs", &without_tracefs),
        ("read-only /sys", &with_sys_read_only),
        ("without BTF", &without_btf),
        ("masked BTF", &with_masked_btf),
        ("few capabilities", &move |command| {
            as_root_with(command, enough);
        }),
    ];
    for (name, prepare) in circumstances {
        let check = checked(prepare);
        check.assert_code(0);
        let seen = coverage(prepare);
        for way in WAYS {
            assert_eq!(
                said(&check.stdout, way),
                seen[format!("coverage.{way}")].as_str().unwrap(),
                "{name}: {way}"
            );
        }
    }
}

/// `trace` would refuse, so nothing is seen; and `check` says so of each way, and why.
#[test]
fn is_nothing_where_trace_refuses() {
    let circumstances: [(&str, &str, Circumstance<'_>); 6] = [
        ("nobody", "capabilities", &as_nobody),
        ("seccomp", "BPF ring buffer", &without_bpf),
        ("without /sys", "tracefs", &without_sys),
        ("empty /sys", "processors", &with_empty_sys),
        ("without /proc", "time namespace", &without_proc),
        ("nobody without tracefs", "tracefs", &|command| {
            without_tracefs(command);
            as_nobody(command);
        }),
    ];
    for (name, missing, prepare) in circumstances {
        let check = checked(prepare);
        check.assert_code(1);
        let page = &check.stdout;
        assert!(
            said(page, missing).starts_with("MISSING "),
            "{name}:\n{page}"
        );
        for way in WAYS {
            let said = said(page, way);
            assert!(said.starts_with("not seen: MISSING "), "{name}: {said}");
            assert!(said.contains(missing), "{name}: {said}");
        }
        let tried = said(page, "BPF tracing programs");
        assert!(tried.starts_with("unknown "), "{name}: {tried}");

        let mut command = agent(["trace", "--duration", "0.1"]);
        prepare(&mut command);
        let refused = end(&mut command);
        refused.assert_code(1);
        let line = refused.only_error();
        let first = page.lines().find_map(|line| line.split_once(" MISSING  "));
        let (_, detail) = first.unwrap();
        assert!(line.contains(detail), "{name}: {detail}\n{line}");
    }
}

/// A kernel that hides its BTF here may have it, and one whose `/sys` is not mounted, too.
#[test]
fn hidden_is_not_absent() {
    let circumstances: [(Circumstance<'_>, &str); 3] = [
        (&without_btf, "/sys/kernel/btf"),
        (&with_masked_btf, "/sys/kernel/btf/vmlinux"),
        (&without_sys, "/sys is not mounted"),
    ];
    for (prepare, why) in circumstances {
        let page = checked(prepare).stdout;
        let btf = said(&page, "BTF");
        assert!(btf.starts_with("limited ") && btf.contains(why), "{btf}");
        assert!(!page.contains("CONFIG_DEBUG_INFO_BTF"), "{page}");
        assert!(!page.contains("CONFIG_FTRACE_SYSCALLS"), "{page}");
        assert!(!page.contains("refused (fentry"), "{page}");
    }
    let page = checked(without_proc).stdout;
    for name in ["capabilities", "pid namespace", "cgroup"] {
        let said = said(&page, name);
        assert!(
            said.starts_with("unknown ") && said.contains("mount -t proc"),
            "{said}"
        );
    }
}

/// It is the kernel's, whatever is mounted where the agent runs.
#[test]
fn cgroups_are_of_the_version_that_the_kernel_has() {
    let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap();
    let v2 = hierarchies.lines().any(|line| line.starts_with("0::"));
    let controlled = hierarchies.lines().any(|line| {
        let names = line.split(':').nth(1).unwrap();
        !names.is_empty() && !names.starts_with("name=")
    });
    let page = checked(|_| {}).stdout;
    let cgroup = said(&page, "cgroup");
    let expected = match (v2, controlled) {
        (true, false) => "ok       v2",
        (true, true) => "limited  hybrid: ",
        (false, _) => "limited  v1: ",
    };
    assert!(cgroup.starts_with(expected), "{cgroup}");
    assert!(
        cgroup.contains("cgroup.id") && cgroup.contains("--label cgroup"),
        "{cgroup}"
    );
    if v2 && !controlled {
        return;
    }
    assert!(cgroup.contains("unified_cgroup_hierarchy"), "{cgroup}");
}
