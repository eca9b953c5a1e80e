//! `-o FILE`: what is appended, who may read it, what is refused, and how it is rotated.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use tempfile::TempDir;

use crate::{
    circumstances::{NOBODY, without_hangups},
    ended::{agent, end, run},
    support::{agent::Agent, wait},
    traffic::Traffic,
};

/// A `trace` of this traffic into this file, as JSON.
fn trace(traffic: &Traffic, file: &Path) -> Agent {
    let mut command = agent(["trace", "--output", "json", "-o"]);
    let running = Agent::start(command.arg(file).args(traffic.filter())).unwrap();
    running.ready().unwrap();
    running
}

/// Connects in a file, in which every line must be an object.
fn connects(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let events = text.lines().map(|line| {
        let event: Result<serde_json::Value, _> = serde_json::from_str(line);
        event.unwrap_or_else(|error| panic!("{error}: {line:?}"))
    });
    events.filter(|event| event["event"] == "connect").count()
}

/// Waits until there are so many.
fn await_connects(file: &Path, count: usize) {
    wait::until_true("connects in the file", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        Ok(text.matches("\"event\":\"connect\"").count() == count)
    })
    .unwrap();
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o7777
}

#[test]
fn appends_and_never_replaces() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    let mut traffic = Traffic::start();
    for round in 1..=2 {
        let running = trace(&traffic, &file);
        traffic.connect(3);
        running.signal(Signal::INT).unwrap();
        running.end().unwrap().assert_code(0);
        assert_eq!(connects(&file), 3 * round);
    }
}

/// It says what every user does. Whoever has made the file has said who may read it.
#[test]
fn a_new_file_is_for_its_owner() {
    let folder = TempDir::new().unwrap();
    let [new, old] = ["new", "old"].map(|name| folder.path().join(name));
    fs::write(&old, "").unwrap();
    fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
    for file in [&new, &old] {
        let path = file.to_str().unwrap();
        run(["run", "-o", path, "--", "true"]).assert_code(0);
    }
    assert_eq!((mode(&new), mode(&old)), (0o600, 0o640));
}

/// Whoever wrote it before was killed in the middle of a line.
#[test]
fn begins_on_a_line_of_its_own() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    fs::write(&file, "{\"event\":\"conn").unwrap();
    let path = file.to_str().unwrap();
    run(["run", "-o", path, "--output", "json", "--", "true"]).assert_code(0);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("{\"event\":\"notice\""), "{text}");
}

/// A folder like `/tmp`: everybody may put something there, and take away only what is theirs.
pub(crate) fn shared_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    folder
}

#[track_caller]
pub(crate) fn assert_refused(file: &Path, reason: &str) {
    let path = file.to_str().unwrap();
    for words in [
        &["run", "-o", path, "--", "echo", "started"][..],
        &["export", "--output", "json", "-o", path],
    ] {
        let ended = run(words);
        ended.assert_code(1);
        assert_eq!(ended.stdout, "", "the command was not started");
        let line = ended.only_line();
        assert!(line.contains(path) && line.contains(reason), "{line}");
    }
}

/// They would read it along, or have it written into another file.
#[test]
fn a_file_of_another_user_in_a_shared_folder_is_refused() {
    let folder = shared_folder();
    let file = folder.path().join("events");
    fs::write(&file, "theirs").unwrap();
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    assert_refused(&file, "belongs to user 65534");
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    chown(&fifo, Some(NOBODY), Some(NOBODY)).unwrap();
    // Whoever opens it waits for a reader, and none will come.
    assert_refused(&fifo, "belongs to user 65534");
    // Nor is it what a reader gets.
    let reader = fs::File::options().read(true).write(true).open(&fifo);
    assert_refused(&fifo, "belongs to user 65534");
    drop(reader);
    assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");

    let [secret, name] = ["secret", "name"].map(|name| folder.path().join(name));
    fs::write(&secret, "ours").unwrap();
    fs::hard_link(&secret, &name).unwrap();
    assert_refused(&name, "several names");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "ours");
}

#[test]
fn a_fifo_of_our_own_waits_for_its_reader() {
    let folder = shared_folder();
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut command = agent(["run", "-o"]);
    let running = Agent::start(command.arg(&fifo).args(["--", "true"])).unwrap();
    // This waits for its writer, too.
    let text = fs::read_to_string(&fifo).unwrap();
    running.end().unwrap().assert_code(0);
    assert!(text.starts_with("TIME "), "{text}");
}

/// `sudo` in one's own folder, for a file that one has made oneself.
#[test]
fn a_file_of_another_user_in_their_own_folder_is_written() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    fs::write(&file, "").unwrap();
    for path in [folder.path(), &file] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    run(["run", "-o", file.to_str().unwrap(), "--", "true"]).assert_code(0);
    assert!(fs::read_to_string(&file).unwrap().starts_with("TIME "));
    assert_eq!(fs::metadata(&file).unwrap().uid(), NOBODY);
}

/// Devices, and what stands for a stream, are no files that could be somebody's.
#[test]
fn a_device_or_a_stream_by_its_path_is_written() {
    run(["run", "-o", "/dev/null", "--", "true"]).assert_code(0);
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let ended = run(["run", "-o", path, "--", "true"]);
        ended.assert_code(0);
        assert!(
            ended.stdout.starts_with("TIME "),
            "{path}: {}",
            ended.stdout
        );
    }
}

#[test]
fn no_file_is_a_folder() {
    let folder = TempDir::new().unwrap();
    for path in [
        folder.path().to_path_buf(),
        PathBuf::from(format!("{}/new/", folder.path().display())),
        "/".into(),
        ".".into(),
        "..".into(),
    ] {
        let ended = end(agent(["run", "-o"]).arg(&path).args(["--", "true"]));
        ended.assert_code(1);
        let line = ended.only_line();
        assert!(line.contains("directory"), "{line}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// As logrotate(8) does: what was written goes to the old file, what comes to a new one.
#[test]
fn a_hangup_opens_the_file_again() {
    for command in ["trace", "export"] {
        let folder = TempDir::new().unwrap();
        let [file, old] = ["events", "events.1"].map(|name| folder.path().join(name));
        let mut traffic = Traffic::start();
        let mut words = agent([command, "--output", "json", "-o"]);
        let mut running = Agent::start(words.arg(&file).args(traffic.filter())).unwrap();
        running.ready().unwrap();
        for rotation in 0..3 {
            traffic.connect(2);
            await_connects(&file, 2);
            fs::rename(&file, &old).unwrap();
            running.signal(Signal::HUP).unwrap();
            wait::until_true("a new file", || Ok(file.exists())).unwrap();
            assert_eq!(mode(&file), 0o600);
            assert!(running.runs().unwrap(), "{rotation}");
            traffic.connect(0);
            assert_eq!(connects(&old), 2);
        }
        traffic.connect(1);
        running.signal(Signal::INT).unwrap();
        let ended = running.end().unwrap();
        ended.assert_code(0);
        ended.assert_no_error();
        assert_eq!(ended.totals().events, 7);
        assert_eq!(connects(&file), 1);
    }
}

/// A new file has titles, too.
#[test]
fn a_hangup_begins_the_table_again() {
    let folder = TempDir::new().unwrap();
    let [file, old] = ["events", "events.1"].map(|name| folder.path().join(name));
    let traffic = Traffic::start();
    let mut command = agent(["trace", "-o"]);
    let running = Agent::start(command.arg(&file).args(traffic.filter())).unwrap();
    running.ready().unwrap();
    wait::until_true("titles", || Ok(fs::metadata(&file).unwrap().len() > 0)).unwrap();
    fs::rename(&file, &old).unwrap();
    running.signal(Signal::HUP).unwrap();
    wait::until_true("titles", || {
        Ok(fs::read_to_string(&file).is_ok_and(|text| text.starts_with("TIME ")))
    })
    .unwrap();
    running.signal(Signal::INT).unwrap();
    running.end().unwrap().assert_code(0);
}

/// The file that was open goes on, and the next hangup is another try.
#[test]
fn a_file_that_cannot_be_opened_again_is_one_line() {
    let folder = TempDir::new().unwrap();
    let logs = folder.path().join("logs");
    let moved = folder.path().join("moved");
    fs::create_dir(&logs).unwrap();
    let file = logs.join("events");
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &file);
    fs::rename(&logs, &moved).unwrap();
    running.signal(Signal::HUP).unwrap();
    running.says("error: cannot reopen ").unwrap();
    traffic.connect(2);
    await_connects(&moved.join("events"), 2);
    fs::create_dir(&logs).unwrap();
    running.signal(Signal::HUP).unwrap();
    wait::until_true("a new file", || Ok(file.exists())).unwrap();
    traffic.connect(1);
    running.signal(Signal::INT).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(0);
    let line = ended.only_error();
    assert!(line.contains("No such file"), "{line}");
    assert_eq!((connects(&moved.join("events")), connects(&file)), (2, 1));
}

/// What is unsafe at the start is so later.
#[test]
fn a_hangup_follows_no_link_of_another_user() {
    let folder = shared_folder();
    let secret = TempDir::new().unwrap();
    let target = secret.path().join("target");
    fs::write(&target, "as it was").unwrap();
    let file = folder.path().join("events");
    let traffic = Traffic::start();
    let running = trace(&traffic, &file);
    fs::remove_file(&file).unwrap();
    symlink(&target, &file).unwrap();
    std::os::unix::fs::lchown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    running.signal(Signal::HUP).unwrap();
    running.says("error: cannot reopen ").unwrap();
    running.signal(Signal::INT).unwrap();
    running.end().unwrap().assert_code(0);
    assert_eq!(fs::read_to_string(&target).unwrap(), "as it was");
}

/// A FIFO without a reader must not hold up the observation.
#[test]
fn a_hangup_waits_for_no_reader() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    let traffic = Traffic::start();
    let running = trace(&traffic, &file);
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    running.signal(Signal::HUP).unwrap();
    running.says("error: cannot reopen ").unwrap();
    running.signal(Signal::INT).unwrap();
    running.end().unwrap().assert_code(0);
}

/// nohup(1) means that the terminal's end does not end it; a rotation is another thing.
#[test]
fn a_hangup_that_is_ignored_opens_the_file_again_all_the_same() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    let traffic = Traffic::start();
    let mut command = agent(["trace", "-o"]);
    command.arg(&file).args(traffic.filter());
    without_hangups(&mut command);
    let running = Agent::start(&mut command).unwrap();
    running.ready().unwrap();
    fs::remove_file(&file).unwrap();
    running.signal(Signal::HUP).unwrap();
    wait::until_true("a new file", || Ok(file.exists())).unwrap();
    running.signal(Signal::INT).unwrap();
    running.end().unwrap().assert_code(0);
}

/// `run` reopens, and passes the signal on: the command may have files of its own.
#[test]
fn a_hangup_of_run_is_for_both() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    let mut command = agent(["run", "-o"]);
    command.arg(&file).args(["--", "bash", "-c"]);
    command.arg("trap 'echo got it; exit 9' HUP; echo begun; read never");
    let (never, keep) = std::io::pipe().unwrap();
    let running = Agent::start(command.stdin(never)).unwrap();
    running
        .stdout
        .wait_for("begun", |text| text.contains("begun"))
        .unwrap();
    fs::remove_file(&file).unwrap();
    running.signal(Signal::HUP).unwrap();
    let ended = running.end().unwrap();
    ended.assert_code(9);
    assert_eq!(ended.stdout, "begun\ngot it\n");
    assert!(file.exists());
    drop(keep);
}

/// `copytruncate` of logrotate(8): the file stays, and becomes empty under us.
#[test]
fn a_file_that_is_truncated_begins_anew() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events");
    let mut traffic = Traffic::start();
    let running = trace(&traffic, &file);
    traffic.connect(5);
    await_connects(&file, 5);
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&file)
        .unwrap();
    traffic.connect(2);
    running.signal(Signal::INT).unwrap();
    running.end().unwrap().assert_code(0);
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.contains(&0));
    assert_eq!(connects(&file), 2);
}
