//! `/metrics`, `/healthz` and `/`, over HTTP.
//!
//! A thread of its own serves, so that no client holds up the observation. What clients can use is
//! bounded: connections in number and time, headers in number, size and time. Where there are too
//! many connections, the oldest gives way: a client that is slow on purpose cannot keep others out.
//!
//! axum routes and answers, hyper speaks HTTP, and hyper-util lets open requests end in peace. No server that
//! brings its own accept loop (`axum::serve`, `axum-server`) can throw out the oldest of its connections
//! before it has sent a request, so the loop is ours, and everything that may take a client's time happens
//! within the task of its connection: what else a connection has to go through before HTTP, as TLS, belongs
//! into `connection`; what a request has to go through, as passwords or compression, is a layer of
//! `router`.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, bind, listen, socket_with,
        sockopt::{set_ipv6_v6only, set_socket_reuseaddr},
    },
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, oneshot},
    task::{AbortHandle, spawn, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::metrics::{Metrics, format::Format};

/// How many connections may be open.
const CONNECTIONS: usize = 32;
/// How many may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long a connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a client may take to say what it wants.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How many headers it may send.
const HEADERS: usize = 64;
/// How many bytes of them.
const HEADER_BYTES: usize = 16 << 10;
/// How long open requests may take once the end was asked for.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How often metrics are looked through for what is old.
const TIDY_EVERY: Duration = Duration::from_millis(500);

/// A listening socket.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Listens on `address`, which is `HOST:PORT`, or `:PORT` for every address of this host.
    ///
    /// # Errors
    ///
    /// There is no such address, or its port is in use.
    pub fn listen(address: &str) -> Result<Self> {
        let what = || {
            format!(
                "cannot listen on {}",
                crate::escape::Escaped(address.as_bytes())
            )
        };
        let listener = match address.strip_prefix(':') {
            Some(port) => {
                let port = port.parse().with_context(what)?;
                everywhere(port).with_context(what)?
            }
            None => TcpListener::bind(address).with_context(what)?,
        };
        listener.set_nonblocking(true).with_context(what)?;
        let address = listener.local_addr().with_context(what)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the result is dropped or stopped.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn serve(self, metrics: Metrics) -> Result<Server> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .context("cannot start the runtime of the metrics")?;
        let (stop, stopped) = oneshot::channel();
        let address = self.address;
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                let served = runtime.block_on(serve(self.listener, metrics, stopped));
                if let Err(error) = served {
                    log::error!("metrics are served no more: {error}");
                }
            })
            .context("cannot start the thread of the metrics")?;
        Ok(Server {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// Listens on a port of every address, IPv6 and IPv4.
fn everywhere(port: u16) -> io::Result<TcpListener> {
    match everywhere_by_one_socket(port) {
        // A kernel without IPv6, or one that was told to do without.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        listener => Ok(listener?),
    }
}

/// Listens by a socket of IPv6 that takes IPv4 as well, also where `net.ipv6.bindv6only` says otherwise.
fn everywhere_by_one_socket(port: u16) -> Result<TcpListener, Errno> {
    let socket = socket_with(
        AddressFamily::INET6,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // As the standard library does: the connections of an agent that has just ended do not keep its port.
    set_socket_reuseaddr(&socket, true)?;
    set_ipv6_v6only(&socket, false)?;
    bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Where the metrics are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

impl Drop for Server {
    /// Takes no more requests, and waits for the open ones, but not for long.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread of the metrics has panicked");
        }
    }
}

async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let metrics = Arc::new(metrics);
    let router = router(Arc::clone(&metrics));
    let mut connections = Connections::default();
    let mut tidy = interval(TIDY_EVERY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            // Also where the sender is gone.
            _ = &mut stop => break,
            _ = tidy.tick() => metrics.tidy(),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(stream, router.clone()),
                Err(error) => {
                    // Out of descriptors, most likely: it does not get better by asking at once.
                    log::warn!("cannot accept a connection: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    connections.drain().await;
    Ok(())
}

/// The open connections.
#[derive(Default)]
struct Connections {
    /// Oldest first.
    handles: VecDeque<AbortHandle>,
    end: GracefulShutdown,
}

impl Connections {
    fn add(&mut self, stream: TcpStream, router: Router) {
        self.handles.retain(|handle| !handle.is_finished());
        if self.handles.len() >= CONNECTIONS
            && let Some(oldest) = self.handles.pop_front()
        {
            oldest.abort();
        }
        let connection = connection(stream, router, self.end.watcher());
        let task = spawn(async {
            if timeout(CONNECTION_TIME, connection).await.is_err() {
                log::debug!("a connection took too long");
            }
        });
        self.handles.push_back(task.abort_handle());
    }

    /// Takes no more requests, and waits for the open ones.
    async fn drain(self) {
        if timeout(DRAIN_TIME, self.end.shutdown()).await.is_err() {
            log::debug!("some connections did not end in time");
        }
    }
}

async fn connection(stream: TcpStream, router: Router, end: Watcher) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = end.watch(connection).await {
        log::debug!("a connection ended: {error}");
    }
}

/// Metrics are read and written for one client at a time, and beside the thread that accepts others.
#[derive(Clone)]
struct Source {
    metrics: Arc<Metrics>,
    turn: Arc<Semaphore>,
}

impl Source {
    async fn encode(self, format: Format) -> Result<Vec<u8>> {
        // A client that goes away while it waits leaves nothing behind.
        let turn = self.turn.acquire_owned().await?;
        let encoded = spawn_blocking(move || {
            let encoded = self.metrics.encode(format);
            drop(turn);
            encoded
        });
        Ok(encoded.await??)
    }
}

fn router(metrics: Arc<Metrics>) -> Router {
    let source = Source {
        metrics,
        turn: Arc::new(Semaphore::new(1)),
    };
    Router::new()
        .route("/", get(landing))
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(serve_metrics))
        .with_state(source)
}

async fn landing() -> Html<&'static str> {
    Html(concat!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>connect-observer</title></head>\n<body>\n",
        "<h1>connect-observer ",
        env!("CARGO_PKG_VERSION"),
        "</h1>\n<p>Exact counts of every connect(2) of this host.</p>\n<ul>\n",
        "<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\n",
        "<li><a href=\"/healthz\">/healthz</a>: whether this runs</li>\n",
        "</ul>\n</body>\n</html>\n"
    ))
}

async fn serve_metrics(State(source): State<Source>, headers: HeaderMap) -> Response {
    let accept: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let format = Format::preferred(&accept.join(","));
    match source.encode(format).await {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => {
            log::error!("no metrics: {error:#}");
            let body = "the counters cannot be read; the log says why\n";
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}
