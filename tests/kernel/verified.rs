//! What it costs the kernel to load the programs: the instructions that its verifier looks at.

use std::process::Stdio;

use anyhow::{Result, ensure};

use crate::support::{
    agent::{self, Agent},
    case::Case,
    child::in_thread,
    namespace::enter_network,
    verified::instructions,
};

pub(crate) const CASES: &[Case] = &[Case::new(
    "verified_instructions_stay_within_their_budget",
    // Metrics are served on a loopback that is up, which that of a VM is not.
    |_| {
        in_thread(|| {
            enter_network()?;
            within_budget()
        })
    },
    |_| Ok(()),
)
.brief()];

/// The most instructions of all programs together. A kernel of another release counts otherwise, and
/// there the numbers are only printed.
struct Budget {
    /// What the kernel's release begins with.
    release: &'static str,
    /// Words of the agent, and the most for these.
    most: [(&'static [&'static str], u64); 2],
}

const BUDGET: Budget = Budget {
    release: "6.18.44",
    most: [
        (&["trace", "--output", "json"], TRACE),
        (&["export", "--listen", "127.0.0.1:0"], EXPORT),
    ],
};
const TRACE: u64 = 27_600;
const EXPORT: u64 = 38_600;

fn within_budget() -> Result<()> {
    let kernel = rustix::system::uname();
    let release = kernel.release().to_string_lossy();
    for (words, most) in BUDGET.most {
        let agent = Agent::start_to(&mut agent::command(words), Stdio::null())?;
        agent.ready()?;
        let counts = instructions(&agent);
        agent.terminate()?;
        let [verb, ..] = words else { continue };
        let is_ours = release.starts_with(BUDGET.release);
        let counts = match counts {
            // From 5.16 on.
            Err(error) if !is_ours => {
                eprintln!("{verb}: loaded on {release}; {error:#}");
                continue;
            }
            counts => counts?,
        };
        let total: u64 = counts.values().sum();
        eprintln!("{verb}: {total} instructions verified on {release}, {most} allowed");
        ensure!(
            total <= most || !is_ours,
            "{total} instructions are verified for {verb}, and {most} allowed: {counts:?}"
        );
    }
    Ok(())
}
