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
    let ids = programs(agent)?;
    let mut counts = BTreeMap::new();
    for program in loaded_programs() {
        let program = program?;
        if !ids.contains(&program.id()) {
            continue;
        }
        let name = program.name_as_str().context("a program without a name")?;
        let count = program
            .verified_instruction_count()
            .context("the kernel does not show how many instructions it has verified")?;
        // The kernel cuts names, so that two may share one.
        *counts.entry(name.to_owned()).or_default() += u64::from(count);
    }
    ensure!(!counts.is_empty(), "the agent has no program");
    Ok(counts)
}

/// Ids of the agent's programs: those that it has descriptors of, or links to.
fn programs(agent: &Agent) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{}/fdinfo", agent.pid()?.as_raw_nonzero()))? {
        // A descriptor may have been closed meanwhile.
        let Ok(info) = fs::read_to_string(file?.path()) else {
            continue;
        };
        if let Some(id) = info.lines().find_map(|line| line.strip_prefix("prog_id:")) {
            ids.insert(id.trim().parse()?);
        }
    }
    Ok(ids)
}
