//! One behaviour: its name, its test, the program that the test observes, and all that the test needs.

use std::{
    cell::Cell,
    env,
    ffi::OsString,
    process,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;

use super::{
    feature::{FUNCTIONS, Feature},
    hook::{Hook, Returns},
    observation::Observation,
    observer::{Command, Observer},
    process::Guard,
    scratch::Scratch,
    shared::Group,
    stage::Stage,
};

/// First word of this binary's command line when it is the observed program.
pub(crate) const WORKLOAD: &str = "workload";

/// Held for writing by a test that needs the machine to itself: others would wait for the processor,
/// and an observer of the whole host would lose records that are none of its test's business.
static MACHINE: RwLock<()> = RwLock::new(());

thread_local! {
    /// What else the agent is started with, in this test.
    static OPTIONS: Cell<&'static [&'static str]> = const { Cell::new(&[]) };
}

/// These options, and those of this test.
pub(crate) fn with_own<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [options, OPTIONS.get()].concat()
}

/// By which hooks the agent of a test sees native calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hooks {
    /// The agent's own choice.
    Auto,
    /// The kernel's functions instead of the tracepoints.
    Functions,
}

impl Hooks {
    pub(crate) const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Auto => &[],
            Self::Functions => &["--hooks", "function"],
        }
    }

    /// Whether nothing else may run meanwhile. Agents of other tests that come and go at the same
    /// functions have the kernel skip hooks at the return of a call that blocks meanwhile.
    pub(crate) const fn are_alone(self) -> bool {
        matches!(self, Self::Functions)
    }
}

/// Runs something while no test that needs the machine to itself runs; or as such a test.
pub(crate) fn on_the_machine<T>(alone: bool, work: impl FnOnce() -> T) -> T {
    if alone {
        let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        work()
    } else {
        let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

/// What was seen of a case's program, from its beginning to its end.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// By the agent.
    pub(crate) observation: Observation,
    /// By the kernel's own hook; empty for a case that does not ask for it.
    pub(crate) returns: Returns,
}

#[derive(Clone, Copy)]
enum Test {
    /// Starts its agents itself.
    Own(fn(&Case) -> Result<()>),
    /// Is about what an agent without further options sees of the program. So one agent will do for
    /// many cases.
    OfSeen {
        check: fn(&Case, Seen) -> Result<()>,
        /// Whether it also needs to know what the kernel's own hook sees.
        hooked: bool,
    },
}

pub(crate) struct Case {
    /// What is true when the test passes.
    pub(crate) name: &'static str,
    /// Runs in the test's process.
    test: Test,
    /// Runs in the observed process.
    pub(crate) play: fn(&Stage) -> Result<()>,
    alone: bool,
    by_functions: bool,
    brief: bool,
    needs: Option<&'static Feature>,
    /// Stands before its name in what the tests say; may be empty.
    kind: &'static str,
}

impl Case {
    /// A test that starts its agents itself.
    pub(crate) const fn new(
        name: &'static str,
        test: fn(&Self) -> Result<()>,
        play: fn(&Stage) -> Result<()>,
    ) -> Self {
        Self::of(name, Test::Own(test), play)
    }

    /// Everything is seen that the program does with IPv4 asked for, and nothing with IPv6.
    pub(crate) fn assert_ipv4(&self) -> Result<()> {
        self.run(&["--family", "inet"])?.assert_outcomes()?;
        let observation = self.run(&["--family", "inet6"])?;
        ensure!(observation.connects.is_empty(), "{observation:?}");
        ensure!(observation.outcomes.is_empty(), "{observation:?}");
        Ok(())
    }

    /// A test of what an agent without further options sees of the program.
    pub(crate) const fn of_seen(
        name: &'static str,
        check: fn(&Self, Seen) -> Result<()>,
        play: fn(&Stage) -> Result<()>,
    ) -> Self {
        let hooked = false;
        Self::of(name, Test::OfSeen { check, hooked }, play)
    }

    /// A test of what such an agent and the kernel's own hook see of the program.
    pub(crate) const fn of_seen_by_both(
        name: &'static str,
        check: fn(&Self, Seen) -> Result<()>,
        play: fn(&Stage) -> Result<()>,
    ) -> Self {
        let hooked = true;
        Self::of(name, Test::OfSeen { check, hooked }, play)
    }

    /// A test that finds exactly the program's calls.
    pub(crate) const fn exact(name: &'static str, play: fn(&Stage) -> Result<()>) -> Self {
        Self::of_seen(name, |_, seen| seen.observation.assert_exact(), play)
    }

    /// A test that also finds exactly what became of the attempts that its calls left unsettled.
    pub(crate) const fn outcomes(name: &'static str, play: fn(&Stage) -> Result<()>) -> Self {
        Self::of_seen(name, |_, seen| seen.observation.assert_outcomes(), play)
    }

    const fn of(name: &'static str, test: Test, play: fn(&Stage) -> Result<()>) -> Self {
        Self {
            name,
            test,
            play,
            alone: false,
            by_functions: false,
            brief: false,
            needs: None,
            kind: "",
        }
    }

    pub(crate) const fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// No other test may run meanwhile: it floods, measures, or observes the whole host.
    pub(crate) const fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    /// It runs once more, as `NAME_by_functions`, and must come to the same when the tracepoints of
    /// the system call are not there.
    pub(crate) const fn also_by_functions(self) -> Self {
        Self {
            by_functions: true,
            ..self
        }
    }

    /// It belongs to the selection that `cargo xtask test` runs in VMs, with each of its hooks. Where
    /// processors are emulated, time is short: the selection has one case of each kind, and all of
    /// what differs between kernels.
    pub(crate) const fn brief(self) -> Self {
        Self {
            brief: true,
            ..self
        }
    }

    /// It is left out where this is missing.
    pub(crate) const fn needs(self, feature: &'static Feature) -> Self {
        Self {
            needs: Some(feature),
            ..self
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) const fn is_brief(&self) -> bool {
        self.brief
    }

    /// Every choice of hooks that it runs with.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = Hooks> + use<> {
        let functions = self.by_functions.then_some(Hooks::Functions);
        [Hooks::Auto].into_iter().chain(functions)
    }

    pub(crate) fn name_with(&self, hooks: Hooks) -> String {
        match hooks {
            Hooks::Auto => self.name.to_owned(),
            Hooks::Functions => format!("{}_by_functions", self.name),
        }
    }

    pub(crate) const fn is_alone(&self, hooks: Hooks) -> bool {
        self.alone || hooks.are_alone()
    }

    /// Why this machine cannot run it; nothing where it can.
    pub(crate) fn missing(&self, hooks: Hooks) -> Option<String> {
        let of_hooks = match hooks {
            Hooks::Auto => None,
            Hooks::Functions => FUNCTIONS.missing(),
        };
        of_hooks.or_else(|| self.needs.and_then(Feature::missing))
    }

    /// Whether its agent may observe other programs too, and with the kernel's own hook beside it.
    pub(crate) const fn shares(&self) -> Option<bool> {
        match self.test {
            Test::OfSeen { hooked, .. } if !self.alone => Some(hooked),
            _ => None,
        }
    }

    /// The test, with an agent of its own or of this group.
    pub(crate) fn trial(&'static self, hooks: Hooks, group: Option<Arc<Group>>) -> Trial {
        let test = move || match (group, self.test) {
            (Some(group), Test::OfSeen { check, .. }) => check(self, group.seen(self)?),
            _ => on_the_machine(self.is_alone(hooks), || {
                OPTIONS.set(hooks.options());
                match self.test {
                    Test::Own(test) => test(self),
                    Test::OfSeen { check, hooked } => check(self, self.see(hooked)?),
                }
            }),
        };
        let trial = Trial::test(self.name_with(hooks), move || {
            test().map_err(|error| format!("{error:#}").into())
        });
        trial.with_kind(self.kind)
    }

    /// Has the program observed by an agent of its own.
    fn see(&self, hooked: bool) -> Result<Seen> {
        let hook = hooked.then(Hook::new).transpose()?;
        let observation = self.run(&[])?;
        let returns = hook.as_ref().map(Hook::returns).transpose()?;
        Ok(Seen {
            observation,
            returns: returns.unwrap_or_default(),
        })
    }

    /// The command that plays this case's program. `role` tells programs of one case apart.
    pub(crate) fn command(&self, scratch: &Scratch, role: &str) -> Result<Vec<OsString>> {
        let this = env::current_exe().context("this binary has no path")?;
        Ok(vec![
            this.into(),
            WORKLOAD.into(),
            self.name.into(),
            scratch.path().into(),
            role.into(),
        ])
    }

    /// Starts the program, observed by nobody.
    pub(crate) fn start(&self, scratch: &Scratch, role: &str) -> Result<Guard> {
        let words = self.command(scratch, role)?;
        let (program, arguments) = words.split_first().context("no words")?;
        Guard::start(process::Command::new(program).args(arguments))
    }

    /// Observes the program with `connect-observer run`, to its end.
    pub(crate) fn run(&self, options: &[&str]) -> Result<Observation> {
        let scratch = Scratch::new()?;
        let command = self.command(&scratch, "")?;
        Observer::start(&scratch, &Command::run(&with_own(options), command))?.end()
    }
}
