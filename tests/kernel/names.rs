//! Text that a process chooses: its name, and paths. It is shown exactly, and breaks nothing.

use std::ffi::CString;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{
    attempt::Attempt,
    case::Case,
    observer::{Command, Observer, Sink},
    scratch::Scratch,
    sockaddr::{Sockaddr, loopback, unix, unix_abstract},
    stage::Stage,
    syscall::{udp, unix_stream},
    truth::Caller,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("hostile_names_are_escaped_exactly", hostile),
    Case::exact("printable_names_are_shown_as_they_are", printable),
    Case::new(
        "hostile_names_cannot_forge_a_line_of_the_table",
        table,
        hostile,
    ),
];

/// Names of at most 15 bytes, as of a task.
const HOSTILE: [&[u8]; 13] = [
    b"",
    b" ",
    b"a\nb",
    b"\r\x1b[2J\x1b[31mred",
    b"\"},{\"event\":\"x",
    b"'quotes\"",
    b"back\\slash",
    br"\x41",
    b"\xff\xfe\x80",
    // C1 control, right-to-left override, line separator.
    b"\xc2\x85\xe2\x80\xae",
    b"\xe2\x80\xa8",
    b"\x01\x02\x7f\t",
    // Cut in the middle of a character.
    b"aaaaaaaaaaaaa\xe6\x97",
];

fn hostile(stage: &Stage) -> Result<()> {
    let (datagram, stream) = (udp()?, unix_stream()?);
    for name in HOSTILE {
        rustix::thread::set_name(&CString::new(name)?)?;
        stage.expect(0, &datagram, &loopback(9))?;
        stage.connect(&Attempt::new(&stream, &unix_abstract(name)))?;
        if name.is_empty() {
            continue;
        }
        stage.connect(&Attempt::new(&stream, &unix(name)))?;
        let path = [b"/no/such/", name].concat();
        stage.connect(&Attempt::new(&stream, &unix(&path)))?;
    }
    // Every byte there is, in two halves.
    let bytes: Vec<u8> = (1..=u8::MAX).collect();
    for bytes in bytes.chunks(100) {
        let path = [b"/no/", bytes].concat();
        // A first slash within makes no difference: the first one is missing.
        stage.connect(&Attempt::new(&stream, &unix(&path)))?;
        stage.connect(&Attempt::new(&stream, &unix_abstract(bytes)))?;
    }
    Ok(())
}

fn printable(stage: &Stage) -> Result<()> {
    let (datagram, stream) = (udp()?, unix_stream()?);
    for name in [
        "gr\u{fc}\u{df}e",
        "\u{65e5}\u{672c}\u{8a9e}",
        "\u{1f980}",
        "it's \"x\"",
    ] {
        rustix::thread::set_name(&CString::new(name)?)?;
        let caller = Caller {
            comm: name.to_owned(),
            ..Caller::me()
        };
        let path = format!("/no/{name}/{name}");
        let shown = json!({
            "address.family": "AF_UNIX",
            "unix.type": "pathname",
            "network.peer.address": path,
        });
        let address = Sockaddr::new(libc::AF_UNIX, path.as_bytes(), shown);
        for attempt in [
            Attempt::new(&datagram, &loopback(9)),
            Attempt::new(&stream, &address),
        ] {
            stage.record(&attempt, &caller, &attempt.make())?;
        }
    }
    Ok(())
}

/// One line for each call and one above them; nothing in them drives a terminal.
fn table(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    let command = Command::run(&["--color", "never"], case.command(&scratch, "")?);
    let sink = Sink::File("table".to_owned());
    let stderr = Observer::start_with(&scratch, &command, "table", sink)?
        .succeed()?
        .stderr;
    let table = scratch.text("table")?;
    let calls = scratch.text(crate::support::truth::FILE)?.lines().count();
    let lines: Vec<_> = table.split_terminator('\n').collect();
    ensure!(calls > 40, "{calls} calls are too few");
    let days = lines.iter().filter(|line| line.starts_with("-- ")).count();
    ensure!((1..=2).contains(&days), "{days} days:\n{table}");
    ensure!(
        lines.len() == calls + 1 + days,
        "{} lines for {calls} calls:\n{table}",
        lines.len()
    );
    for line in lines {
        ensure!(!line.contains(char::is_control), "{line:?}");
    }
    ensure!(
        stderr.contains(&format!("; events: {calls} connect, ")),
        "{stderr}"
    );
    Ok(())
}
