//! A thread that is not the first of its process executes a program: it takes the first one's id.

use std::{env, os::unix::process::CommandExt as _, process::Command, sync::mpsc::channel, thread};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::support::{case::Case, sockaddr::loopback, stage::Stage, syscall::udp};

pub(crate) const CASES: &[Case] = &[
    Case::exact("exec_in_another_thread_is_followed", another_thread),
    Case::exact("failed_exec_changes_nothing", failed),
];

/// How often the program executes itself.
const TIMES: u8 = 20;

fn another_thread(stage: &Stage) -> Result<()> {
    let round: u8 = stage.role.parse().unwrap_or(0);
    stage.expect(0, &udp()?, &loopback(1000 + u16::from(round)))?;
    // Children of the thread that took the id are followed too.
    thread::scope(|scope| {
        let call = || stage.expect(0, &udp()?, &loopback(2000 + u16::from(round)));
        scope
            .spawn(call)
            .join()
            .map_err(|_| anyhow!("a thread panicked"))?
    })?;
    if round == TIMES {
        return Ok(());
    }
    let (failed, result) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let run = || -> Result<()> {
                stage.expect(0, &udp()?, &loopback(3000 + u16::from(round)))?;
                Err(again(round + 1)?)
            };
            // Only where exec has failed.
            failed.send(run())
        });
        result.recv()?
    })
}

/// Returns only if it fails.
fn again(round: u8) -> Result<anyhow::Error> {
    let words: Vec<_> = env::args_os().collect();
    let (program, arguments) = words.split_first().context("no words")?;
    let arguments = &arguments[..arguments.len() - 1];
    let error = Command::new(program)
        .args(arguments)
        .arg(round.to_string())
        .exec();
    Ok(anyhow!(error).context("exec"))
}

fn failed(stage: &Stage) -> Result<()> {
    let call = |port| stage.expect(0, &udp()?, &loopback(port));
    call(1)?;
    let in_thread = || -> Result<()> {
        call(2)?;
        let error = Command::new(stage.file("missing")).exec();
        if error.raw_os_error() != Some(libc::ENOENT) {
            bail!("exec: {error}");
        }
        call(3)
    };
    let joined = thread::scope(|scope| scope.spawn(in_thread).join());
    joined.map_err(|_| anyhow!("a thread panicked"))??;
    call(4)
}
