//! Notifies systemd that the service is ready, and that it lives (`sd_notify(3)`).
//!
//! One datagram each, sent without a connect: what the library `sd-notify` does would itself be seen
//! as a connect of this host, again and again.

use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    time::{Duration, Instant},
};

/// Where systemd listens, and how often it wants to hear something.
#[derive(Debug)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// Half of what systemd allows.
    every: Option<Duration>,
    last: Instant,
}

impl Notifier {
    /// As the environment says; does nothing where it says nothing.
    #[must_use]
    pub fn from_env() -> Self {
        let for_us =
            env::var("WATCHDOG_PID").map_or(true, |pid| pid.parse() == Ok(std::process::id()));
        let every = env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|microseconds| microseconds.parse().ok())
            .filter(|_| for_us)
            .map(|microseconds| Duration::from_micros(microseconds) / 2);
        Self {
            to: env::var_os("NOTIFY_SOCKET").and_then(|name| socket(&name)),
            every,
            last: Instant::now(),
        }
    }

    /// The hooks are live and the metrics are served.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Whoever calls this regularly lives.
    pub fn alive(&mut self) {
        if self.every.is_some_and(|every| self.last.elapsed() >= every) {
            self.last = Instant::now();
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.to
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            log::warn!("systemd cannot be told {state}: {error}");
        }
    }
}

/// A path, or an abstract name with `@` for its NUL.
fn socket(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(Path::new(name)),
    };
    let socket = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    match (socket, address) {
        (Ok(socket), Ok(address)) => Some((socket, address)),
        (Err(error), _) | (_, Err(error)) => {
            log::warn!("systemd cannot be told anything: {error}");
            None
        }
    }
}
