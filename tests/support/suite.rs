//! From cases to tests: which run, with which hooks, with which agent and in which order.

use std::{collections::BTreeSet, ffi::OsString, iter, process::ExitCode};

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Trial};

use super::{
    case::{Case, Hooks},
    feature, shared,
};

/// Runs only the cases that are [`Case::brief`].
const BRIEF_ARGUMENT: &str = "--brief";
/// So many tests that selection has at least: 8 of them are of 32-bit calls, which only x86-64 has.
const BRIEF_AT_LEAST: usize = if cfg!(target_arch = "x86_64") { 41 } else { 33 };
/// Tests at the same time. Most of the time of a test, the kernel takes hooks away and nobody computes.
const AT_ONCE: usize = 8;

/// Runs the cases that these words ask for, and says on standard output what became of each.
pub(crate) fn run(
    cases: impl IntoIterator<Item = &'static Case>,
    words: Vec<OsString>,
) -> Result<ExitCode> {
    let mut tests: Vec<_> = cases
        .into_iter()
        .flat_map(|case| case.hooks().map(move |hooks| (case, hooks)))
        .collect();
    ensure_no_name_twice(tests.iter().map(|(case, hooks)| case.name_with(*hooks)))?;
    let is_brief = |word: &OsString| word == BRIEF_ARGUMENT;
    if words.iter().any(is_brief) {
        tests.retain(|(case, _)| case.is_brief());
        let count = tests.len();
        ensure!(
            count >= BRIEF_AT_LEAST,
            "the selection has {count} tests instead of {BRIEF_AT_LEAST}: a test has been renamed or left \
             out without another in its place"
        );
    }
    let words = words.into_iter().filter(|word| !is_brief(word));
    let mut arguments = Arguments::from_iter(iter::once("tests".into()).chain(words));
    arguments
        .test_threads
        .get_or_insert(feature::at_once(AT_ONCE));

    // Those that wait for a shared agent come when it has had time. Those that have the machine to
    // themselves come last, as nothing else goes on while they wait for it.
    tests.sort_by_key(|(case, hooks)| (case.is_alone(*hooks), case.shares().is_some()));
    let is_run = |&(case, hooks): &(&'static Case, Hooks)| {
        let trial = Trial::test(case.name_with(hooks), || Ok(())).with_kind(case.kind());
        !arguments.is_filtered_out(&trial) && case.missing(hooks).is_none()
    };
    let groups = shared::groups(tests.iter().copied().filter(is_run));
    let trials = tests.iter().map(|&(case, hooks)| {
        let missing = case.missing(hooks);
        if let Some(missing) = &missing {
            skip(&case.name_with(hooks), missing);
        }
        let group = groups.iter().find(|group| group.has(case, hooks));
        let trial = case.trial(hooks, group.cloned());
        trial.with_ignored_flag(missing.is_some())
    });
    let trials = trials.collect();
    if !arguments.list {
        for group in &groups {
            group.begin();
        }
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// An error that names the one that is there twice: a filter could not tell the two apart.
pub(crate) fn ensure_no_name_twice(names: impl IntoIterator<Item = String>) -> Result<()> {
    let mut known = BTreeSet::new();
    for name in names {
        ensure!(!known.contains(&name), "two tests have the name {name}");
        known.insert(name);
    }
    Ok(())
}

fn skip(name: &str, missing: &str) {
    eprintln!("skipped {name}: {missing}");
}
