//! `check`: what this kernel and these privileges allow, and what stays unseen.

use std::{
    io::{ErrorKind, Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Result, anyhow};

use crate::{
    attach::{self, selection::Functions, survey::Survey},
    coverage::Coverage,
    host::tracefs::Tracefs,
    observation::Means,
    output::STANDARD_OUTPUT,
    preflight::{Verdict, function_hooks, requirements},
};

/// Prints every requirement with its verdict and its mend; status 1 if one is missing.
///
/// # Errors
///
/// Standard output cannot be written; a closed pipe is none.
pub fn check() -> Result<ExitCode> {
    use std::fmt::Write as _;

    let mut requirements = requirements();
    // What `trace` sees when it has mounted tracefs is what is there now.
    let tracefs = Tracefs::mounted().or_else(|| Tracefs::detached().ok());
    let survey = tracefs
        .as_ref()
        .map_or_else(|| Survey::unknown("tracefs cannot be mounted"), Survey::of);
    let all_there = requirements
        .iter()
        .all(|requirement| requirement.verdict != Verdict::Missing);
    let functions = match &tracefs {
        _ if !all_there => Functions::Refused("something is missing anyway".to_owned()),
        Some(tracefs) => attach::try_functions(tracefs, &survey)
            .unwrap_or_else(|error| Functions::Refused(format!("{error:#}"))),
        None => Functions::Refused("tracefs cannot be mounted".to_owned()),
    };
    requirements.push(function_hooks(&functions));
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
    for (way, sentence) in Coverage::of(&survey, &functions, Means::ALL).sentences() {
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
