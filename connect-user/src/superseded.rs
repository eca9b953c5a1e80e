//! Attempts that were given up as another address of the same try was faster: RFC 8305, "happy eyeballs".
//!
//! A program that has several addresses for one name begins an attempt to one of them, soon after one to the next,
//! takes the first that is established, and closes the others at once. Nothing in the kernel says that these belong
//! together, so it is inferred, and only where everything fits. The attempt that was given up and the one that was
//! established
//!
//! * are of the same process, of the same transport, and to the same port of different addresses;
//! * began within [`APART`] of each other, and of one thread, or else to addresses of different families: a runtime
//!   may begin them on any of its threads, but other threads also have tries of their own;
//! * and the one was established while the other went on, which was closed within [`REACTION`] of that.
//!
//! And nothing else was established at that port of another address since the first began: a program that has gone
//! on before, when one of its connections was there, does not wait for just one.
//!
//! What is kept for this is bounded: of each process and port the last [`KEPT`], and of processes and ports two
//! times [`GENERATION`]. Where that is too little, an attempt is `abandoned`, which is never wrong.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    net::IpAddr,
};

use connect_ebpf::code::{Settlement, Transport, Via};

use crate::event::{Call, Event};

/// How long a program waits at most for one attempt before it begins the next: the longest "Connection Attempt
/// Delay" of RFC 8305. In ns.
const APART: i128 = 2_000_000_000;
/// How long a program needs at most, on a busy host, to close the others when it has a connection. In ns. A program
/// whose own timeout ends by chance within that time cannot be told apart.
const REACTION: i128 = 50_000_000;
/// Times of records that were taken out of the ring buffer at different moments may differ by so much. In ns.
const TOLERANCE: i128 = 1_000_000;

/// How many established attempts are remembered of one process and port.
const KEPT: usize = 4;
/// How many processes and ports are remembered before the older half is forgotten.
const GENERATION: usize = 1024;

/// What has been established lately.
#[derive(Debug, Default)]
pub struct Rivals {
    young: HashMap<Place, Recent>,
    old: HashMap<Place, Recent>,
}

/// Where attempts of one try must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    pid: u32,
    port: u32,
    transport: Transport,
}

/// What has been established at one place.
#[derive(Debug, Default)]
struct Recent {
    /// In the order in which it came.
    established: VecDeque<Established>,
    /// When the last one was established that is remembered no more.
    forgotten: Option<i128>,
}

/// An attempt that was established; times in ns.
#[derive(Debug)]
struct Established {
    id: String,
    tid: u32,
    to: IpAddr,
    began: i128,
    at: i128,
}

impl Rivals {
    /// Remembers what this event says was established; or notes in it by which of these its attempt was superseded.
    pub fn judge(&mut self, event: &mut Event) {
        match event {
            Event::Connect(connect)
                if connect.handshake_ns.is_some() && !connect.asks_again() =>
            {
                let began = connect.timestamp.as_nanosecond();
                let Some(took) = connect.duration_ns else {
                    return;
                };
                self.remember(&connect.id, &connect.call, began, began + i128::from(took));
            }
            Event::Outcome(outcome) => {
                let at = outcome.timestamp.as_nanosecond();
                let began = at - i128::from(outcome.duration_ns);
                match outcome.outcome {
                    Settlement::Established => {
                        self.remember(&outcome.id, &outcome.call, began, at);
                    }
                    Settlement::Abandoned => {
                        outcome.superseded_by = self.superseder(&outcome.call, began, at);
                    }
                    Settlement::Failed | Settlement::Pending => {}
                }
            }
            Event::Connect(_) | Event::Lost(_) | Event::Notice(_) => {}
        }
    }

    fn remember(&mut self, id: &str, call: &Call, began: i128, at: i128) {
        let Some((place, to)) = place(call) else {
            return;
        };
        if self.young.len() >= GENERATION && !self.young.contains_key(&place) {
            self.old = mem::take(&mut self.young);
        }
        let recent = match self.old.remove(&place) {
            Some(recent) => self.young.entry(place).or_insert(recent),
            None => self.young.entry(place).or_default(),
        };
        if recent.established.len() >= KEPT
            && let Some(oldest) = recent.established.pop_front()
        {
            recent.forgotten = Some(oldest.at);
        }
        recent.established.push_back(Established {
            id: id.to_owned(),
            tid: call.tid,
            to,
            began,
            at,
        });
    }

    /// The attempt by which one was superseded that was given up at `closed`.
    fn superseder(&self, call: &Call, began: i128, closed: i128) -> Option<String> {
        let (place, to) = place(call)?;
        let recent = self.young.get(&place).or_else(|| self.old.get(&place))?;
        let meanwhile = |at: i128| began <= at + TOLERANCE && at <= closed + TOLERANCE;
        if recent.forgotten.is_some_and(meanwhile) {
            return None;
        }
        let rivals = recent.established.iter();
        let first = rivals
            .filter(|rival| rival.to != to && meanwhile(rival.at))
            .min_by_key(|rival| rival.at)?;
        let together = (first.began - began).abs() <= APART
            && (first.tid == call.tid || first.to.is_ipv4() != to.is_ipv4());
        let at_once = closed - first.at <= REACTION;
        (together && at_once).then(|| first.id.clone())
    }
}

/// The place of a call's attempt, and the address there; `None` where it has none, or belongs to nobody that is
/// known.
fn place(call: &Call) -> Option<(Place, IpAddr)> {
    let is_tcp = matches!(call.transport, Transport::Tcp | Transport::Mptcp);
    if !is_tcp || call.via == Via::Unknown {
        return None;
    }
    let text = call.address.peer_address.as_deref()?;
    // Without the scope of an address that needs one.
    let bare = text.split_once('%').map_or(text, |(bare, _)| bare);
    let to: IpAddr = bare.parse().ok()?;
    let place = Place {
        pid: call.pid,
        port: call.address.peer_port?,
        transport: call.transport,
    };
    Some((place, to.to_canonical()))
}
