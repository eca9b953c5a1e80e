//! Tests on the live kernel: each file is one behaviour, and both sides of its test.
//!
//! The binary needs the agent (`CONNECT_OBSERVER`, or the one that cargo built), the programs that
//! `support/tool.rs` names, and root. Started with the word `workload`, it is the program that the
//! agent observes; with `players`, several of them; otherwise it is the tests.

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
mod switch;
mod tcp;
mod threads;
mod udp;
mod unexplained;
mod unix;
mod unspec;
mod verified;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use support::{
    case::{Case, WORKLOAD},
    feature,
    shared::{self, PLAYERS},
    stage::Stage,
    suite,
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
    handshake::again::CASES,
    handshake::ambiguous::CASES,
    handshake::identity::CASES,
    handshake::kinds::CASES,
    handshake::many::CASES,
    handshake::options::CASES,
    handshake::programs::CASES,
    handshake::settled::CASES,
    handshake::soft::CASES,
    handshake::superseded::CASES,
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
    switch::CASES,
    tcp::CASES,
    threads::CASES,
    udp::CASES,
    unix::CASES,
    unspec::CASES,
    verified::CASES,
];

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    // The tests' own arguments begin with an option or a filter; a filter stands alone.
    let played = match &words[..] {
        [first, name, rest @ ..] if first == WORKLOAD => Some((name, play(name, rest))),
        [first, directory] if first == PLAYERS => {
            Some((directory, shared::play(directory.as_ref())))
        }
        _ => None,
    };
    if let Some((what, played)) = played {
        return match played {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", what.display());
                ExitCode::FAILURE
            }
        };
    }
    let ran = feature::announce()
        .and_then(|()| errno::announce())
        .and_then(|()| suite::run(cases(), words));
    ran.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn cases() -> impl Iterator<Item = &'static Case> {
    errno::cases().chain(CASES.iter().copied().flatten())
}

/// Plays the program of a case.
fn play(name: &OsString, words: &[OsString]) -> Result<()> {
    let [directory, role] = words else {
        bail!("a workload needs a name, a directory and a role");
    };
    let case = cases()
        .find(|case| name == case.name)
        .context("no such case")?;
    let role = role.to_str().context("no role")?;
    (case.play)(&Stage::enter(Path::new(directory), role)?)
}
