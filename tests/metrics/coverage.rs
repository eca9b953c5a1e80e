//! What is seen, and what not: `check`, the notice at the start, the line on standard error and the
//! metrics say the same.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    scrape::{ADDRESS, metrics},
    support::{
        agent::{self, Agent},
        scratch::Scratch,
    },
};

/// By all that is there, and by less.
pub(crate) fn agrees() -> Result<()> {
    let checked = check()?;
    let told = told(&[])?;
    ensure!(
        checked == told,
        "check says {checked:?}, the notice {told:?}"
    );

    let tracepoints = self::told(&["--hooks", "tracepoint"])?;
    let compat = tracepoints.get("compat").context("no sentence")?;
    ensure!(compat.starts_with("not seen: "), "{compat}");
    ensure!(
        compat.contains("--compat") && compat.contains("every system call"),
        "the way out and its price: {compat}"
    );
    // Where functions are hooked, they show it, and nothing else is attached.
    for options in [&["--compat"][..], &["--hooks", "tracepoint", "--compat"]] {
        let compat = self::told(options)?;
        let compat = compat.get("compat").context("no sentence")?;
        ensure!(
            compat.starts_with("seen: raw_syscalls:sys_enter, raw_syscalls:sys_exit, ")
                || (options.len() == 1 && compat.starts_with("seen: fentry:")),
            "{compat}"
        );
        ensure!(compat.contains("--compat"), "{compat}");
    }
    let without = self::told(&["--skip-io-uring"])?;
    let io_uring = without.get("io_uring").context("no sentence")?;
    ensure!(io_uring.starts_with("not seen: "), "{io_uring}");
    Ok(())
}

/// Sentences by their subject.
type Sentences = BTreeMap<String, String>;

fn check() -> Result<Sentences> {
    let page = agent::run(["check"])?.stdout;
    let (_, coverage) = page.split_once("COVERAGE\n").context("no coverage")?;
    coverage
        .lines()
        .map(|line| {
            let (subject, sentence) = line.split_once(' ').context("no sentence")?;
            Ok((subject.to_owned(), sentence.trim().to_owned()))
        })
        .collect()
}

/// What a running agent says in its notice, which its metrics and its standard error must bear out.
fn told(options: &[&str]) -> Result<Sentences> {
    let scratch = Scratch::new()?;
    let events = scratch.file("events");
    let events_path = events.to_str().context("no path")?;
    let words = [
        &["trace", "--output", "json", "-o", events_path],
        &["--listen", ADDRESS][..],
        options,
    ]
    .concat();
    let agent = Agent::start(&mut agent::command(words))?;
    agent.ready()?;
    let metrics = metrics()?;
    let attached: BTreeMap<_, _> = metrics
        .of("connect_observer_hook_attached", &[])
        .into_iter()
        .map(|(series, value)| {
            let hook = series.split('"').nth(1).context("no hook")?;
            Ok((hook.to_owned(), value > 0.0))
        })
        .collect::<Result<_>>()?;
    let stderr = agent.terminate()?.stderr;
    let first = fs::read_to_string(&events)?;
    let notice: Value = serde_json::from_str(first.lines().next().context("no notice")?)?;
    let sentences: Sentences = notice
        .as_object()
        .context("no object")?
        .iter()
        .filter_map(|(key, value)| {
            let subject = key.strip_prefix("coverage.")?;
            Some((subject.to_owned(), value.as_str()?.to_owned()))
        })
        .collect();

    for (subject, sentence) in &sentences {
        let unseen = sentence.strip_prefix("not seen: ");
        ensure!(
            unseen.is_some() || sentence.starts_with("seen"),
            "{sentence}"
        );
        // In one short line, which sends the reader to `check` for the sentence.
        let note = stderr
            .lines()
            .find(|line| line.starts_with("note: not seen: "));
        let is_named = note.is_some_and(|note| note.contains(&format!("{subject} (")));
        ensure!(
            is_named == unseen.is_some(),
            "{subject}: {sentence}\nstandard error says {note:?}"
        );
        if unseen.is_none() {
            let mut hooks = 0;
            for word in sentence.split([' ', ',', ';']) {
                // category:tracepoint, or fentry:function
                let name = match word.split_once(':') {
                    Some(("fentry" | "fexit", _)) => word,
                    Some((_, name)) if !name.is_empty() => name,
                    _ => continue,
                };
                let is_attached = attached.get(name);
                ensure!(
                    is_attached == Some(&true),
                    "{subject}: {name} is not attached: {attached:?}"
                );
                hooks += 1;
            }
            ensure!(hooks > 0, "{subject} is seen by no hook: {sentence}");
        }
    }
    // And what is not seen has no hook of its own; nor has what is seen a second one.
    let by_raw = sentences
        .get("compat")
        .is_some_and(|sentence| sentence.contains("raw_syscalls"));
    ensure!(
        attached.get("sys_exit") == Some(&by_raw),
        "sys_exit: {attached:?}"
    );
    for (subject, hook) in [
        (
            "compat",
            if by_raw {
                "sys_exit"
            } else {
                "fexit:__sys_connect"
            },
        ),
        ("io_uring", "io_uring_complete"),
        ("address", "fentry:__sys_connect_file"),
    ] {
        let seen = !sentences
            .get(subject)
            .context("no sentence")?
            .starts_with("not seen");
        ensure!(
            attached.get(hook) == Some(&seen),
            "{subject} is seen: {seen}; but {hook}: {attached:?}"
        );
    }
    Ok(sentences)
}
