//! In a terminal: `^C` reaches everyone in its foreground, the agent and its command alike.

use std::{
    fs::File,
    io::Write as _,
    os::fd::{FromRawFd as _, OwnedFd},
};

use crate::{
    agent::{Running, Stream, agent},
    circumstances::with_terminal,
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
    let running = Running::start_to(&mut command, far);
    running.ready();
    near.write_all(INTERRUPT).unwrap();
    let ended = running.end();
    ended.assert_code(0);
    ended.totals();
    assert!(screen.text().contains("DESTINATION"));
}

/// It has reached the command already: passed on as well, it would reach it twice.
#[test]
fn an_interrupt_reaches_the_command_once() {
    const SCRIPT: &str = "trap 'echo interrupted' INT; echo begun; \
        while read word || [ $? -gt 128 ]; do echo \"read $word\"; done; exit 5";
    let (mut near, far) = terminal(80);
    let mut command = agent(["run", "-o", "/dev/null", "--", "bash", "-c", SCRIPT]);
    with_terminal(command.stdin(far.try_clone().unwrap()));
    let screen = Stream::of(near.try_clone().unwrap());
    let running = Running::start_to(&mut command, far);
    let mut type_and_see = |typed: &[u8], answer: &str| {
        near.write_all(typed).unwrap();
        screen.wait_for(answer, |text| text.contains(answer));
    };
    type_and_see(b"", "begun");
    type_and_see(INTERRUPT, "interrupted");
    // More than once around, so that a second signal had the time to come.
    for word in ["one", "two", "three"] {
        type_and_see(format!("{word}\n").as_bytes(), &format!("read {word}"));
    }
    type_and_see(b"\x04", "");
    let ended = running.end();
    ended.assert_code(5);
    assert_eq!(screen.text().matches("interrupted").count(), 1);
}
