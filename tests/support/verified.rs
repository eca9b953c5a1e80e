//! How many instructions the kernel's verifier has looked at, to load the programs of an agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::loaded_programs;

use super::agent::Agent;

/// By name of the program. An instruction counts as often as the verifier has walked through it.
pub(crate) fn instructions(agent: &Agent) -> Result<BTreeMap<String, u64>> {
    let names = loaded_programs()
        .map(|program| {
            let program = program?;
            let name = program.name_as_str().context("a program without a name")?;
            Ok((program.id().to_string(), name.to_owned()))
        })
        .collect::<Result<BTreeMap<_, _>>>()?;
    let mut known = BTreeSet::new();
    let mut counts = BTreeMap::new();
    for file in fs::read_dir(format!("/proc/{}/fdinfo", agent.pid()?.as_raw_nonzero()))? {
        // A descriptor may have been closed meanwhile.
        let Ok(info) = fs::read_to_string(file?.path()) else {
            continue;
        };
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim)
        };
        // A link to a program has its number too.
        if let (Some(id), Some(_)) = (value("prog_id:"), value("prog_jited:")) {
            let count = value("verified_insns:").context("the kernel does not tell")?;
            let name = names.get(id).context("a program that is not loaded")?;
            // It may have several descriptors; and the kernel cuts names.
            if known.insert(id.to_owned()) {
                *counts.entry(name.clone()).or_default() += count.parse::<u64>()?;
            }
        }
    }
    ensure!(!counts.is_empty(), "the agent has no program");
    Ok(counts)
}
