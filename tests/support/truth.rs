//! What the application itself saw of its calls, and the two files that it writes this into.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    process::{getpid, getuid},
    thread::gettid,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Its file in the scratch directory: one call per line.
pub(crate) const FILE: &str = "truth";

/// The file of what became of attempts: one object per line, each with the keys of an outcome that
/// the application can know.
pub(crate) const OUTCOMES: &str = "outcomes";

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Every key of the event, save those that are checked by rule (see `compare`).
    pub(crate) keys: Map<String, Value>,
    /// The wall's time before and after the call, in ns.
    pub(crate) before: i64,
    pub(crate) after: i64,
    /// The call took no longer than this, in ns.
    pub(crate) took: u64,
    /// Whether the kernel's entry to the call could be observed.
    pub(crate) entered: bool,
    /// When it began and ended, where the program knows it better than by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<Window>,
}

/// What became of an attempt: each key of an outcome that the application can know.
pub(crate) type Outcome = Map<String, Value>;

/// Between which moments the kernel must have seen a call begin and end, `CLOCK_MONOTONIC` in ns.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) entered: (u64, u64),
    pub(crate) ended: (u64, u64),
}

/// The files of one program, usable from all its threads and children.
#[derive(Debug)]
pub(crate) struct Truth {
    calls: File,
    outcomes: File,
}

impl Truth {
    /// Opens both files in a scratch directory, where other processes of the program have them open.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let open = |name| {
            let path = directory.join(name);
            let opened = File::options().create(true).append(true).open(&path);
            opened.with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Self {
            calls: open(FILE)?,
            outcomes: open(OUTCOMES)?,
        })
    }

    pub(crate) fn call(&self, call: &Call) -> Result<()> {
        append(&self.calls, call)
    }

    pub(crate) fn outcome(&self, keys: &Outcome) -> Result<()> {
        append(&self.outcomes, keys)
    }
}

fn append(mut file: &File, what: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    // One write: lines of many processes must not mix.
    loop {
        match file.write(&line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => {
                ensure!(written? == line.len(), "half a line of truth");
                return Ok(());
            }
        }
    }
}

/// Reads what a program has written: its calls, and what became of its attempts. Both are empty where
/// it has written nothing.
pub(crate) fn read(directory: &Path) -> Result<(Vec<Call>, Vec<Outcome>)> {
    fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let lines = text.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} is not understood", path.display()))
    }
    Ok((
        lines(&directory.join(FILE))?,
        lines(&directory.join(OUTCOMES))?,
    ))
}

/// The wall's time in ns since 1970.
pub(crate) fn wall() -> i64 {
    nanoseconds(SystemTime::now())
}

/// A time in ns since 1970.
pub(crate) fn nanoseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// Who makes a call, as the initial namespaces number it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) pid: i32,
    pub(crate) tid: i32,
    pub(crate) uid: u32,
    /// Escaped.
    pub(crate) comm: String,
}

impl Caller {
    /// The current thread.
    pub(crate) fn me() -> Self {
        // The thread's own name always exists.
        let comm = rustix::thread::name().unwrap_or_default();
        Self {
            pid: getpid().as_raw_nonzero().get(),
            tid: gettid().as_raw_nonzero().get(),
            uid: getuid().as_raw(),
            comm: escape(comm.as_bytes()),
        }
    }
}

/// Bytes as the contract shows them, but for printable characters beyond ASCII, which a case that
/// uses them writes out itself.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str(r"\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.extend([r"\x", &format!("{byte:02x}")]),
        }
    }
    text
}

/// What the kernel says of a call that a signal interrupts. Known to the kernel alone, so no C library
/// has it.
pub(crate) const ERESTARTSYS: i32 = 512;

/// The name of an errno, from the C library's own numbers and those that the kernel keeps to itself.
pub(crate) fn errno_name(errno: i32) -> String {
    macro_rules! names {
        ($($name:ident)*) => {
            match errno {
                $(libc::$name => stringify!($name).to_owned(),)*
                ERESTARTSYS => "ERESTARTSYS".to_owned(),
                513 => "ERESTARTNOINTR".to_owned(),
                514 => "ERESTARTNOHAND".to_owned(),
                516 => "ERESTART_RESTARTBLOCK".to_owned(),
                _ => errno.to_string(),
            }
        };
    }
    names![
        EPERM ENOENT EINTR EBADF EAGAIN EACCES EFAULT ENODEV ENOTDIR EINVAL ENOTTY EPIPE
        ENAMETOOLONG ELOOP ENONET EPROTO ENOTSOCK EPROTOTYPE ENOPROTOOPT ESOCKTNOSUPPORT EOPNOTSUPP
        EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETUNREACH ECONNABORTED ECONNRESET EISCONN ENOTCONN
        ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ECANCELED
    ]
}
