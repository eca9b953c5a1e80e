//! Tests on the live kernel: each file is one behaviour, and both sides of its test.
//!
//! The binary needs the agent (`CONNECT_OBSERVER`, or the one that cargo built), the programs that
//! `support/tool.rs` names, and root. Started with the word `workload`, it is the program that the
//! agent observes; otherwise it is the tests.

#![expect(
    unsafe_code,
    reason = "it makes the calls that no safe library would make"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]
#![expect(
    clippy::print_stderr,
    reason = "the observed program says why it fails, and its test shows it"
)]

#[path = "../support/mod.rs"]
mod support;

mod blocked;
mod children;
#[cfg(target_arch = "x86_64")]
mod compat;
mod differential;
mod errno;
mod exec;
mod families;
mod filters;
mod flood;
mod handshake;
mod host;
mod identity;
mod inflight;
mod interrupted;
mod io_uring;
mod ipv6;
mod lengths;
mod lineage;
mod names;
mod netlink;
mod pages;
mod pointers;
mod rewritten;
mod seccomp;
mod stalled_reader;
mod tcp;
mod threads;
mod udp;
mod unexplained;
mod unix;
mod unspec;

use std::{env, ffi::OsString, iter, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use libtest_mimic::Arguments;
use support::{
    case::{Case, WORKLOAD},
    feature,
    stage::Stage,
};

/// Every case of every file.
const CASES: &[&[Case]] = &[
    blocked::CASES,
    children::CASES,
    differential::CASES,
    exec::CASES,
    families::CASES,
    filters::CASES,
    flood::CASES,
    handshake::abandoned::CASES,
    handshake::ambiguous::CASES,
    handshake::identity::CASES,
    handshake::kinds::CASES,
    handshake::many::CASES,
    handshake::options::CASES,
    handshake::programs::CASES,
    handshake::settled::CASES,
    host::CASES,
    identity::CASES,
    inflight::CASES,
    interrupted::CASES,
    io_uring::CASES,
    ipv6::CASES,
    #[cfg(target_arch = "x86_64")]
    compat::CASES,
    rewritten::CASES,
    unexplained::CASES,
    lengths::CASES,
    lineage::CASES,
    names::CASES,
    netlink::CASES,
    pages::CASES,
    pointers::CASES,
    seccomp::CASES,
    stalled_reader::CASES,
    tcp::CASES,
    threads::CASES,
    udp::CASES,
    unix::CASES,
    unspec::CASES,
];

/// Cases that must come to the same when the tracepoints of the system call are not there.
const BY_FUNCTIONS: [&[Case]; 7] = [
    children::CASES,
    exec::CASES,
    handshake::settled::CASES,
    lengths::CASES,
    pages::CASES,
    tcp::CASES,
    unix::CASES,
];

/// The same of others, by name: calls of 32-bit programs, the kernel's copy of the address, and of calls that a
/// signal interrupts, one of each kind.
const ALSO_BY_FUNCTIONS: [&str; 9] = [
    "compat_connects",
    "compat_connects_of_a_real_program",
    "interrupted_without_restart_is_eintr",
    "interrupted_with_restart_is_one_event",
    "interrupted_while_its_handler_is_interrupted",
    "interrupted_and_left_by_a_jump",
    "killed_says_so",
    "rewritten_address_is_the_kernels",
    "timed_send_killed_says_so",
];

/// Runs only [`BRIEF`].
const BRIEF_ARGUMENT: &str = "--brief";

/// Where processors are emulated, time is short. So `cargo xtask test` runs there these: one of each kind,
/// and all of what differs between kernels. `cargo xtask vm` runs all.
const BRIEF: &[&str] = &[
    "abandoned_by_close",
    "compat_attempts_are_seen_by_tracepoints",
    "compat_connects",
    "compat_connects_by_functions",
    "compat_connects_of_a_real_program",
    "compat_connects_of_a_real_program_by_functions",
    "errno_ebadf_closed",
    "errno_econnrefused_tcp",
    "errno_efault_unmapped",
    "errno_eintr_with_sa_restart",
    "errno_eintr_without_sa_restart",
    "exec_in_another_thread_is_followed",
    "families_are_decoded_whatever_the_call_comes_to",
    "fast_open_by_sendto",
    "io_uring_can_be_left_out",
    "io_uring_connects",
    "io_uring_connects_by_a_polling_thread",
    "io_uring_connects_by_a_worker",
    "io_uring_connects_of_a_registered_file",
    "io_uring_connects_that_are_cancelled",
    "io_uring_connects_that_are_linked",
    "io_uring_connects_that_do_not_block",
    "io_uring_connects_with_bad_arguments",
    "many_threads_at_once",
    "outcome_established_on_the_loopback",
    "outcome_refused_on_the_loopback",
    "rewritten_address_is_the_kernels",
    "rewritten_address_is_the_kernels_by_functions",
    "rewritten_address_may_deceive_tracepoints",
    "run_reports_descendants_and_nobody_else",
    "seccomp_denial_is_reported",
    "tcp_success_and_failure",
    "tcp_success_and_failure_by_functions",
    "unix_pathname",
    "unix_pathname_by_functions",
];

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    // The tests' own arguments begin with an option or a filter; a filter stands alone.
    if let [first, rest @ ..] = &words[..]
        && first == WORKLOAD
        && !rest.is_empty()
    {
        return match play(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", rest[0].display());
                ExitCode::FAILURE
            }
        };
    }
    let mut trials = match feature::announce().and_then(|()| errno::trials()) {
        Ok(trials) => trials,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    trials.extend(CASES.iter().copied().flatten().map(Case::trial));
    trials.extend(
        BY_FUNCTIONS
            .into_iter()
            .flatten()
            .chain(
                CASES
                    .iter()
                    .copied()
                    .flatten()
                    .filter(|case| ALSO_BY_FUNCTIONS.contains(&case.name)),
            )
            .map(Case::trial_by_functions),
    );
    let is_brief = |word: &OsString| word == BRIEF_ARGUMENT;
    if words.iter().any(is_brief) {
        trials.retain(|trial| BRIEF.contains(&trial.name()));
    }
    let words = words.into_iter().filter(|word| !is_brief(word));
    let mut arguments = Arguments::from_iter(iter::once("tests".into()).chain(words));
    // Most of the time of a test, the kernel takes hooks away and nobody computes.
    arguments.test_threads.get_or_insert(8);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Plays the program of a case.
fn play(words: &[OsString]) -> Result<()> {
    let [name, directory, role] = words else {
        bail!("a workload needs a name, a directory and a role");
    };
    let case = CASES
        .iter()
        .copied()
        .flatten()
        .chain(errno::cases())
        .find(|case| name == case.name)
        .context("no such case")?;
    let role = role.to_str().context("no role")?;
    (case.play)(&Stage::enter(Path::new(directory), role)?)
}
