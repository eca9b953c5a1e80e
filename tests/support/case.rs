//! One behaviour: its name, its test, and the program that the test observes.

use std::{
    cell::Cell,
    env,
    ffi::OsString,
    process,
    sync::{PoisonError, RwLock},
};

use anyhow::{Context as _, Result};
use libtest_mimic::Trial;

use super::{
    agent::{Agent, Command, Guard},
    feature::{FUNCTIONS, Feature},
    observation::Observation,
    scratch::Scratch,
    stage::Stage,
};

/// First word of this binary's command line when it is the observed program.
pub(crate) const WORKLOAD: &str = "workload";

/// Held for writing by a test that floods: others would wait for the processor, and an observer of
/// the whole host would lose records that are none of its test's business.
static MACHINE: RwLock<()> = RwLock::new(());

const BY_FUNCTIONS: &[&str] = &["--hooks", "function"];

thread_local! {
    /// What else the agent is started with, in this test.
    static OPTIONS: Cell<&'static [&'static str]> = const { Cell::new(&[]) };
}

/// These options, and those of this test.
pub(crate) fn with_own<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [options, OPTIONS.get()].concat()
}

pub(crate) struct Case {
    /// What is true when the test passes.
    pub(crate) name: &'static str,
    /// Runs in the test's process.
    test: fn(&Self) -> Result<()>,
    /// Runs in the observed process.
    pub(crate) play: fn(&Stage) -> Result<()>,
    /// Whether no other test may run meanwhile.
    alone: bool,
    needs: Option<&'static Feature>,
}

impl Case {
    pub(crate) const fn new(
        name: &'static str,
        test: fn(&Self) -> Result<()>,
        play: fn(&Stage) -> Result<()>,
    ) -> Self {
        Self {
            name,
            test,
            play,
            alone: false,
            needs: None,
        }
    }

    /// A test that observes the program and finds exactly its calls.
    pub(crate) const fn exact(name: &'static str, play: fn(&Stage) -> Result<()>) -> Self {
        Self::new(name, |case| case.run(&[])?.assert_exact(), play)
    }

    /// A test that also finds exactly what became of the attempts that its calls left unsettled.
    pub(crate) const fn outcomes(name: &'static str, play: fn(&Stage) -> Result<()>) -> Self {
        Self::new(name, |case| case.run(&[])?.assert_outcomes(), play)
    }

    /// The same, with the machine to itself.
    pub(crate) const fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    /// A test that is left out where this is missing.
    pub(crate) const fn needs(self, feature: &'static Feature) -> Self {
        Self {
            needs: Some(feature),
            ..self
        }
    }

    pub(crate) fn trial(&'static self) -> Trial {
        self.trial_with(
            self.name.to_owned(),
            &[],
            self.needs.and_then(Feature::missing).as_deref(),
        )
    }

    /// The same test once more, by the kernel's functions instead of the tracepoints.
    pub(crate) fn trial_by_functions(&'static self) -> Trial {
        let missing = FUNCTIONS.missing();
        self.trial_with(
            format!("{}_by_functions", self.name),
            BY_FUNCTIONS,
            missing
                .or_else(|| self.needs.and_then(Feature::missing))
                .as_deref(),
        )
    }

    fn trial_with(
        &'static self,
        name: String,
        options: &'static [&'static str],
        missing: Option<&str>,
    ) -> Trial {
        if let Some(missing) = missing {
            eprintln!("skipped {name}: {missing}");
        }
        let trial = Trial::test(name, move || {
            OPTIONS.set(options);
            // Agents of other tests that come and go at the same functions have the kernel skip hooks at the
            // return of a call that blocks meanwhile.
            let result = if self.alone || options == BY_FUNCTIONS {
                let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
                (self.test)(self)
            } else {
                let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
                (self.test)(self)
            };
            result.map_err(|error| format!("{error:#}").into())
        });
        trial.with_ignored_flag(missing.is_some())
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
        Agent::start(&scratch, &Command::run(&with_own(options), command))?.end()
    }
}
