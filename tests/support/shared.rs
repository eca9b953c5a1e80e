//! Cases that share one agent: to put hooks in place and to take them away is mostly waiting for the
//! kernel, and takes longer than most programs.
//!
//! The agent runs one program, the players, which plays the programs of all these cases, each in its
//! own process and scratch directory. What the agent sees is then divided by process: each event
//! belongs to the case whose program has the process in its truth, and there must be no other.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command as Process, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{
    case::{Case, Hooks, Seen, WORKLOAD, on_the_machine},
    child::join,
    feature,
    hook::{Hook, Returns},
    observation::{Event, Observation},
    observer::{Command, Observer},
    process::Guard,
    scratch::Scratch,
    wait,
};

/// First word of this binary's command line when it is the players.
pub(crate) const PLAYERS: &str = "players";
/// The names of the cases, a line each, in the scratch directory.
const CAST: &str = "cast";
/// In the directory of a case: how its program has ended.
const ENDED: &str = "ended";
/// In the directory of a case: what its program has complained of.
const COMPLAINTS: &str = "complaints";
/// Programs that are played at the same time.
const AT_ONCE: usize = 4;

/// Cases that share an agent.
pub(crate) struct Group {
    hooks: Hooks,
    /// Whether the kernel's own hook is there too.
    hooked: bool,
    cast: Vec<&'static Case>,
    found: OnceLock<Result<Found, String>>,
}

/// What was seen of each case's program, or why not.
type Found = BTreeMap<&'static str, Result<Seen, String>>;

impl Group {
    /// Whether this test is one of its own.
    pub(crate) fn has(&self, case: &Case, hooks: Hooks) -> bool {
        self.hooks == hooks && self.cast.iter().any(|own| own.name == case.name)
    }

    /// Begins to observe, unless that needs the machine to itself. Other tests run meanwhile.
    pub(crate) fn begin(self: &Arc<Self>) {
        if self.hooks.are_alone() {
            return;
        }
        let group = Arc::clone(self);
        thread::spawn(move || {
            group.found();
        });
    }

    /// What was seen of a case's program. Waits until all programs have ended.
    pub(crate) fn seen(&self, case: &Case) -> Result<Seen> {
        let found = self.found().as_ref().map_err(|error| {
            let count = self.cast.len();
            anyhow!("the agent that {count} cases share: {error}")
        })?;
        let seen = found.get(case.name).context("the case was not played")?;
        seen.clone().map_err(|error| anyhow!(error))
    }

    fn found(&self) -> &Result<Found, String> {
        self.found.get_or_init(|| {
            on_the_machine(self.hooks.are_alone(), || self.observe())
                .map_err(|error| format!("{error:#}"))
        })
    }

    fn observe(&self) -> Result<Found> {
        let scratch = Scratch::new()?;
        let names: Vec<_> = self.cast.iter().map(|case| case.name).collect();
        for name in &names {
            fs::create_dir(scratch.file(name))?;
        }
        fs::write(scratch.file(CAST), names.join("\n"))?;
        let this = env::current_exe().context("this binary has no path")?;
        let words = vec![this.into(), PLAYERS.into(), scratch.path().into()];
        let hook = self.hooked.then(Hook::new).transpose()?;
        let command = Command::run(self.hooks.options(), words);
        let mut agent = Observer::start(&scratch, &command)?;
        for name in &names {
            // Each has a deadline of its own.
            let ended = scratch.file(name).join(ENDED);
            wait::until_true(&format!("the end of {name}"), || {
                Ok(ended.exists() || !agent.runs()?)
            })?;
        }
        let observation = agent.end()?;
        let returns = hook.as_ref().map(Hook::returns).transpose()?;
        observation.check_attempts()?;
        Self::divide(&scratch, &names, observation, returns.unwrap_or_default())
    }

    fn divide(
        scratch: &Scratch,
        names: &[&'static str],
        whole: Observation,
        mut returns: Returns,
    ) -> Result<Found> {
        let mut parts = Vec::new();
        let mut owners = BTreeMap::new();
        for (number, &name) in names.iter().enumerate() {
            let part = whole.of_nobody(&scratch.file(name))?;
            for pid in part.processes() {
                let other = owners.insert(pid, number);
                ensure!(
                    other.is_none_or(|other| other == number),
                    "two programs had process id {pid}"
                );
            }
            parts.push(part);
        }
        let mut strangers = Vec::new();
        let mut give = |event: Event, of: fn(&mut Observation) -> &mut Vec<Event>| -> Result<()> {
            let owner = owners.get(&event.integer("process.pid")?);
            match owner.and_then(|&number| parts.get_mut(number)) {
                Some(part) => of(part).push(event),
                None => strangers.push(event),
            }
            Ok(())
        };
        for event in whole.connects {
            give(event, |part| &mut part.connects)?;
        }
        for event in whole.outcomes {
            give(event, |part| &mut part.outcomes)?;
        }
        ensure!(strangers.is_empty(), "nobody made {strangers:?}");

        let mut found = Found::new();
        for (&name, mut observation) in names.iter().zip(parts) {
            observation.unsettled = observation.left_unsettled()?;
            let mut own = Returns::new();
            for tid in observation.threads_of_truth() {
                own.extend(returns.remove_entry(&tid));
            }
            let seen = Seen {
                observation,
                returns: own,
            };
            let ended = succeeded(&scratch.file(name));
            let ended = ended.map(|()| seen).map_err(|error| format!("{error:#}"));
            found.insert(name, ended);
        }
        ensure!(
            returns.is_empty(),
            "the hook saw returns to threads of nobody: {returns:?}"
        );
        Ok(found)
    }
}

/// Whether the program that was played in a directory has succeeded, without a complaint.
fn succeeded(directory: &Path) -> Result<()> {
    let complaints = fs::read(directory.join(COMPLAINTS)).context("the program was not played")?;
    let complaints = String::from_utf8_lossy(&complaints);
    let ended = fs::read_to_string(directory.join(ENDED))?;
    ensure!(
        ended == "exit status: 0" && complaints.is_empty(),
        "the program ended with {ended}: {complaints}"
    );
    Ok(())
}

/// Plays every program of the cast in a directory.
pub(crate) fn play(directory: &Path) -> Result<()> {
    let cast = fs::read_to_string(directory.join(CAST))?;
    let cast: Vec<_> = cast.lines().collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(name) = cast.get(next.fetch_add(1, Ordering::Relaxed)) {
            play_one(name, &directory.join(name))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let players: Vec<_> = (0..feature::at_once(AT_ONCE))
            .map(|_| scope.spawn(work))
            .collect();
        players.into_iter().try_for_each(join)
    })
}

fn play_one(name: &str, directory: &Path) -> Result<()> {
    let this = env::current_exe().context("this binary has no path")?;
    let complaints = fs::File::create(directory.join(COMPLAINTS))?;
    let mut program = Process::new(this);
    program
        .args([WORKLOAD, name])
        .arg(directory)
        // Its role.
        .arg("")
        .stdout(Stdio::null())
        .stderr(complaints);
    let ended = Guard::start(&mut program)?.end(name);
    let ended = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    // Whoever waits for the file finds it whole.
    let new = directory.join("ending");
    fs::write(&new, ended)?;
    fs::rename(new, directory.join(ENDED))?;
    Ok(())
}

/// Groups those of these tests that may share: by their hooks, and by whether the kernel's own hook is
/// there too.
pub(crate) fn groups(tests: impl IntoIterator<Item = (&'static Case, Hooks)>) -> Vec<Arc<Group>> {
    let mut casts: Vec<((Hooks, bool), Vec<&'static Case>)> = Vec::new();
    for (case, hooks) in tests {
        let Some(hooked) = case.shares() else {
            continue;
        };
        match casts.iter_mut().find(|(kind, _)| *kind == (hooks, hooked)) {
            Some((_, cast)) => cast.push(case),
            None => casts.push(((hooks, hooked), vec![case])),
        }
    }
    let group = |((hooks, hooked), cast)| {
        let found = OnceLock::new();
        Arc::new(Group {
            hooks,
            hooked,
            cast,
            found,
        })
    };
    casts.into_iter().map(group).collect()
}
