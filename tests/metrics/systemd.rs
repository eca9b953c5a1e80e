//! As a service of systemd.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

use crate::support::{
    agent::{self, Agent},
    scratch::Scratch,
    tool::SYSTEMD_ANALYZE,
    wait,
};

pub(crate) fn notify() -> Result<()> {
    let scratch = Scratch::new()?;
    let path = scratch.file("notify");
    let systemd = UnixDatagram::bind(&path)?;
    // Decides only that the test fails.
    systemd.set_read_timeout(Some(wait::deadline()))?;
    let told = || -> Result<String> {
        let mut bytes = [0; 256];
        let length = systemd.recv(&mut bytes)?;
        Ok(String::from_utf8(bytes[..length].to_vec())?)
    };
    let environment = [
        ("NOTIFY_SOCKET", &*path),
        ("WATCHDOG_USEC", Path::new("500000")),
    ];
    for words in [&["export"][..], &["export", "--output", "json"]] {
        let mut command = agent::command(words);
        let agent = Agent::start_to(command.envs(environment), Stdio::null())?;
        let first = told()?;
        ensure!(first == "READY=1", "{first}");
        // It says so to people first: it cannot do so while it is stopped.
        agent.stop()?;
        agent.ready()?;
        agent.go_on()?;
        for _ in 0..3 {
            let next = told()?;
            ensure!(next == "WATCHDOG=1", "{next}");
        }
        agent.terminate()?;
        loop {
            match told()?.as_str() {
                "WATCHDOG=1" => {}
                "STOPPING=1" => break,
                other => anyhow::bail!("{other}"),
            }
        }
    }
    Ok(())
}

/// With the path of the agent that there is.
pub(crate) fn unit() -> Result<()> {
    let scratch = Scratch::new()?;
    let unit = include_str!("../../deploy/systemd/connect-observer.service");
    let path = agent::path().to_string_lossy().into_owned();
    let installed = "ExecStart=/usr/bin/connect-observer ";
    ensure!(unit.contains(installed), "no {installed}");
    let file = scratch.file("connect-observer.service");
    fs::write(
        &file,
        unit.replace(installed, &format!("ExecStart={path} ")),
    )?;
    let output = Command::new(SYSTEMD_ANALYZE.path()?)
        .args(["verify", "--man=no"])
        .arg(&file)
        .output()?;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}
