//! In a terminal: `^C` reaches everyone in its foreground, the agent and its command alike.

use std::{
    fs::File,
    io::Write as _,
    os::fd::{FromRawFd as _, OwnedFd},
};

use rustix::process::Signal;

use crate::{
    circumstances::with_terminal,
    ended::agent,
    support::{agent::Agent, stream::Stream, wait},
    traffic::Traffic,
};

/// A terminal: the side of whoever looks at it, and the side of the program.
pub(crate) fn terminal(columns: u16) -> (File, OwnedFd) {
    let (mut near, mut far) = (-1, -1);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: both numbers and the size live; no name and no mode is asked for.
    let opened = unsafe {
        libc::openpty(
            &raw mut near,
            &raw mut far,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: openpty has just opened it, and nobody else owns it.
    let near = unsafe { File::from_raw_fd(near) };
    // SAFETY: likewise.
    let far = unsafe { OwnedFd::from_raw_fd(far) };
    (near, far)
}

/// `^C`, as typed.
const INTERRUPT: &[u8] = b"\x03";

#[test]
fn an_interrupt_ends_trace() {
    let traffic = Traffic::start();
    let (mut near, far) = terminal(80);
    let mut command = agent(["trace"]);
    command.args(traffic.filter());
    with_terminal(command.stdin(far.try_clone().unwrap()));
    let screen = Stream::of(near.try_clone().unwrap());
    let running = Agent::start_to(&mut command, far).unwrap();
    running.ready().unwrap();
    // The terminal throws away what it has not shown yet when an interrupt is typed.
    screen
        .wait_for("titles", |text| text.contains("DESTINATION"))
        .unwrap();
    near.write_all(INTERRUPT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    ended.totals();
}

/// It has reached the command already: passed on as well, it would reach it twice.
#[test]
fn an_interrupt_reaches_the_command_once() {
    const SCRIPT: &str = "trap 'echo interrupted' INT; trap 'echo ended; exit 5' TERM; \
        echo begun; while read word || [ $? -gt 128 ]; do echo \"read $word\"; done";
    let (mut near, far) = terminal(80);
    let mut command = agent(["run", "-o", "/dev/null", "--", "bash", "-c", SCRIPT]);
    with_terminal(command.stdin(far.try_clone().unwrap()));
    let screen = Stream::of(near.try_clone().unwrap());
    let running = Agent::start_to(&mut command, far).unwrap();
    let see = |answer: &str| {
        screen
            .wait_for(answer, |text| text.contains(answer))
            .unwrap();
    };
    see("begun");
    // The command has answered it before the agent looks at its own.
    running
        .while_stopped(|| {
            near.write_all(INTERRUPT).unwrap();
            see("interrupted");
        })
        .unwrap();
    wait::until_true("the agent's own", || {
        Ok(running.status("ShdPnd:").unwrap() == "0".repeat(16))
    })
    .unwrap();
    for word in ["one", "two", "three"] {
        near.write_all(format!("{word}\n").as_bytes()).unwrap();
        see(&format!("read {word}"));
    }
    // Passed on after whatever was passed on before.
    running.signal(Signal::TERM).unwrap();
    running.end().unwrap().assert_code(5);
    see("ended");
    assert_eq!(screen.text().matches("interrupted").count(), 1);
}
