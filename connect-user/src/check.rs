//! `check`: what this kernel and these privileges allow, and what stays unseen.

use std::{
    io::{ErrorKind, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Result, anyhow};

use crate::{
    attach::{self, selection::Functions, survey::Survey},
    coverage::Coverage,
    observation::Means,
    output::STANDARD_OUTPUT,
    preflight::{function_hooks, look},
    requirement::Verdict,
};

/// Prints every requirement with its verdict and its mend; status 1 if one is missing.
///
/// # Errors
///
/// Standard output cannot be written; a closed pipe is none.
pub fn check() -> Result<ExitCode> {
    use std::fmt::Write as _;

    // As `trace` would find it: where it would mount tracefs, it is mounted where nobody else sees it.
    let (mut requirements, tracefs) = look();
    let missing: Vec<_> = requirements
        .iter()
        .filter(|requirement| requirement.verdict == Verdict::Missing)
        .map(|requirement| requirement.name)
        .collect();
    let all_there = missing.is_empty();
    let seen = tracefs.filter(|_| all_there).map(|tracefs| {
        let survey = Survey::of(&tracefs);
        let functions = attach::try_functions(&tracefs, &survey)
            .unwrap_or_else(|error| Functions::Refused(format!("{error:#}")));
        (survey, functions)
    });
    let btf = seen
        .as_ref()
        .is_some_and(|(survey, _)| survey.offsets().is_some());
    let functions = seen.as_ref().map(|(_, functions)| functions);
    requirements.push(function_hooks(functions, btf));
    let coverage = match &seen {
        Some((survey, functions)) => Coverage::of(survey, functions, Means::ALL),
        None if all_there => Coverage::unknown("unknown: see tracefs"),
        None => Coverage::unknown(&format!(
            "not seen: MISSING {}; what is seen when that is mended is unknown",
            missing.join(", ")
        )),
    };
    let mut page = String::new();
    writeln!(page, "{:24} {:8} FOUND", "REQUIREMENT", "VERDICT")?;
    for requirement in &requirements {
        writeln!(
            page,
            "{:24} {:8} {}",
            requirement.name,
            requirement.verdict.name(),
            requirement.detail
        )?;
        if let Some(mend) = &requirement.mend {
            writeln!(page, "{:24} {:8} -> {mend}", "", "")?;
        }
    }
    writeln!(page, "\n{:24} COVERAGE", "WAY INTO CONNECT")?;
    for (way, sentence) in coverage.sentences() {
        writeln!(page, "{way:24} {sentence}")?;
    }
    match stdout().write_all(page.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(anyhow!(error).context(format!("cannot write to {STANDARD_OUTPUT}")));
        }
        _ => {}
    }
    Ok(if all_there {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
