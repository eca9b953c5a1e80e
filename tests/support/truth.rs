//! What the application itself saw of a call.

use rustix::{
    process::{getpid, getuid},
    thread::gettid,
};
use serde::{Deserialize, Serialize};
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

/// Known to the kernel alone, so no C library has it.
pub(crate) const ERESTARTSYS: i32 = 512;

/// The name of an errno, from the C library's own numbers.
pub(crate) fn errno_name(errno: i32) -> String {
    macro_rules! names {
        ($($name:ident)*) => {
            match errno {
                $(libc::$name => stringify!($name).to_owned(),)*
                ERESTARTSYS => "ERESTARTSYS".to_owned(),
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
