//! What the man page says against what this kernel does: entries, the cases that prove them, and
//! the results of these cases, of which `cargo xtask conformance` makes `docs/conformance.md`.

use std::{collections::BTreeMap, env, fs::File, io::Write as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    case::{Case, Seen},
    feature::Feature,
    hook::Returns,
    stage::Stage,
    truth::Call,
};

/// Environment variable: the file that results are appended to, one per line, as words with tabs
/// between them.
///
/// * `row SECTION ENTRY PROVOKED TEST`: what is to be proven, in the order of the document;
/// * `gap SECTION ENTRY WHAT WHY`: what cannot be, among them;
/// * `found TEST HOOK APPLICATION`: the result of a test that has passed.
const RESULTS: &str = "CONFORMANCE_RESULTS";

/// A heading of the document.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) entries: &'static [Entry],
}

/// One entry of the man page, or of what it leaves to others.
pub(crate) struct Entry {
    /// As the man page has it.
    pub(crate) name: &'static str,
    pub(crate) proofs: &'static [&'static [Proof]],
    pub(crate) gaps: &'static [Gap],
}

/// What no test can provoke.
pub(crate) struct Gap {
    pub(crate) what: &'static str,
    /// Exactly why.
    pub(crate) why: &'static str,
}

/// A test of an entry.
pub(crate) struct Proof {
    pub(crate) case: Case,
    /// What the application, or the host that it is on, does.
    provoked: &'static str,
}

impl Proof {
    pub(crate) const fn new(
        name: &'static str,
        provoked: &'static str,
        play: fn(&Stage) -> Result<()>,
    ) -> Self {
        Self {
            case: Case::of_seen_by_both(name, prove, play).of_kind("conformance"),
            provoked,
        }
    }

    /// As [`Case::needs`].
    pub(crate) const fn needs(self, feature: &'static Feature) -> Self {
        Self {
            case: self.case.needs(feature),
            ..self
        }
    }

    /// As [`Case::brief`].
    pub(crate) const fn brief(self) -> Self {
        Self {
            case: self.case.brief(),
            ..self
        }
    }
}

/// Tells what is to be proven.
pub(crate) fn announce(sections: &[Section]) -> Result<()> {
    for section in sections {
        for entry in section.entries {
            for proof in entry.proofs.iter().copied().flatten() {
                let Proof { case, provoked } = proof;
                report(&["row", section.name, entry.name, provoked, case.name])?;
            }
            for Gap { what, why } in entry.gaps {
                report(&["gap", section.name, entry.name, what, why])?;
            }
        }
    }
    Ok(())
}

/// Finds in what the agent and the kernel's own hook have seen exactly what the program has seen.
fn prove(case: &Case, seen: Seen) -> Result<()> {
    let Seen {
        observation,
        returns,
    } = seen;
    observation.assert_exact()?;
    let mut calls: Vec<_> = observation.truth.iter().collect();
    calls.sort_by_key(|call| call.before);
    let (hook, application) = compare(&calls, returns)?;
    report(&["found", case.name, &hook, &application])
}

/// What the hook and the application have seen of each call, in the order in which they began.
fn compare(calls: &[&Call], returns: Returns) -> Result<(String, String)> {
    let mut returns: BTreeMap<_, _> = returns
        .into_iter()
        .map(|(tid, returns)| (tid, returns.into_iter()))
        .collect();
    let (mut of_hook, mut of_application) = (Vec::new(), Vec::new());
    for call in calls {
        let key = |key| call.keys.get(key).and_then(Value::as_i64);
        let tid = key("thread.id").context("a call of no thread")?;
        let entries = 1 + usize::try_from(key("restarts").unwrap_or(0))?;
        let returns = returns.get_mut(&tid).into_iter().flatten();
        let returns: Vec<_> = returns.take(entries).collect();
        let errno = key("errno").context("a call without a result")?;
        ensure!(
            returns.len() == entries && leads_to(&returns, errno, call.keys.contains_key("killed")),
            "the hook saw {returns:?} of a call that came to {errno}"
        );
        of_hook.push(
            returns
                .into_iter()
                .map(raw)
                .collect::<Vec<_>>()
                .join(" and "),
        );
        of_application.push(match call.keys.get("error.type").and_then(Value::as_str) {
            None => "0".to_owned(),
            Some(_) if call.keys.contains_key("killed") => "nothing: killed".to_owned(),
            Some(name) => name.to_owned(),
        });
    }
    for (tid, returns) in returns {
        let rest: Vec<_> = returns.collect();
        ensure!(
            rest.is_empty(),
            "the hook saw {rest:?} of thread {tid}, which made no such call"
        );
    }
    Ok((of_hook.join(", then "), of_application.join(", then ")))
}

/// The kernel's own: to be restarted, unless a signal handler says otherwise.
const ERESTARTSYS: i64 = 512;

/// Whether a call with these returns comes to `errno` for the application, or to nothing.
fn leads_to(returns: &[i64], errno: i64, killed: bool) -> bool {
    let eintr = i64::from(libc::EINTR);
    let Some((last, restarted)) = returns.split_last() else {
        return false;
    };
    restarted.iter().all(|ret| *ret == -ERESTARTSYS)
        && if killed {
            errno == ERESTARTSYS && [-ERESTARTSYS, -eintr].contains(last)
        } else {
            *last == -errno || (*last == -ERESTARTSYS && errno == eintr)
        }
}

fn raw(ret: i64) -> String {
    if ret == -ERESTARTSYS {
        format!("{ret} (ERESTARTSYS)")
    } else {
        ret.to_string()
    }
}

/// Appends a line to the results, if anybody wants them.
fn report(words: &[&str]) -> Result<()> {
    let Some(path) = env::var_os(RESULTS) else {
        return Ok(());
    };
    let line = words.join("\t") + "\n";
    let mut file = File::options().create(true).append(true).open(&path)?;
    // One write: lines of many tests must not mix.
    ensure!(file.write(line.as_bytes())? == line.len(), "half a result");
    Ok(())
}
