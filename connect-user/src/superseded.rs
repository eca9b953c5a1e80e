//! Attempts that were given up as another address of the same try was faster: RFC 8305, "happy eyeballs".
//!
//! A program that has several addresses for one name begins an attempt to one of them, soon after one to the next,
//! takes the first that is established, and closes the others at once. Nothing in the kernel says that these belong
//! together, so it is inferred, and only where everything fits. The attempt that was given up and the one that was
//! established
//!
//! * are of the same process, of the same transport, and to the same port of different addresses;
//! * began within `APART` of each other, and of one thread, or else to addresses of different families: a runtime
//!   may begin them on any of its threads, but other threads also have tries of their own;
//! * and the one was established while the other went on, which was closed within `REACTION` of that.
//!
//! And nothing was established at that port of another address before that, while the first went on: a program that
//! has not closed it for an earlier one does not wait for just one.
//!
//! What is kept for this is bounded: of each process and port the last `KEPT`, and of processes and ports twice
//! `GENERATION`. Where that is too little, an attempt is `abandoned`.

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
const KEPT: usize = 8;
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
            Event::Connect(connect) if connect.handshake_ns.is_some() && !connect.asks_again() => {
                let Some(took) = connect.duration_ns else {
                    return;
                };
                let at = i128::from(connect.ended.monotonic_ns);
                self.remember(&connect.id, &connect.call, at - i128::from(took), at);
            }
            Event::Outcome(outcome) => {
                let at = i128::from(outcome.ended.monotonic_ns);
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
        let rivals = || {
            let all = recent.established.iter();
            all.filter(|rival| rival.to != to && meanwhile(rival.at))
        };
        // What was established just before it began belongs to an earlier try.
        if rivals().any(|rival| rival.at >= began && closed - rival.at > REACTION) {
            return None;
        }
        // Of several tries at once, it belongs to that whose end it has followed.
        rivals()
            .filter(|rival| {
                let of_one_thread = rival.tid == call.tid;
                (rival.began - began).abs() <= APART
                    && (of_one_thread || rival.to.is_ipv4() != to.is_ipv4())
            })
            .max_by_key(|rival| rival.at)
            .map(|rival| rival.id.clone())
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

#[cfg(test)]
mod tests {
    use connect_ebpf::{
        code::{AddressSource, SocketType},
        uapi::family::AF_INET6,
    };

    use super::*;
    use crate::{address, clock::Clock, event::Outcome};

    const MS: u64 = 1_000_000;

    /// An attempt of process 1, of TCP to port 443.
    #[derive(Clone, Copy)]
    struct Try {
        tid: u32,
        /// Last byte of its address, which is of IPv6 from 100 on.
        to: u8,
        began_ms: u64,
        settled_ms: u64,
    }

    const fn attempt(to: u8, began_ms: u64, settled_ms: u64) -> Try {
        Try {
            tid: 1,
            to,
            began_ms,
            settled_ms,
        }
    }

    impl Try {
        const fn of_thread(self, tid: u32) -> Self {
            Self { tid, ..self }
        }

        fn ends(self, outcome: Settlement) -> Outcome {
            let mut sockaddr = vec![0; 28];
            let [low, high] = if self.to < 100 { 2 } else { AF_INET6 }.to_ne_bytes();
            let last = if self.to < 100 { 7 } else { 23 };
            for (at, byte) in [(0, low), (1, high), (2, 1), (3, 187), (last, self.to)] {
                if let Some(to) = sockaddr.get_mut(at) {
                    *to = byte;
                }
            }
            Outcome {
                id: format!("{:x}-{:x}", self.began_ms, self.to),
                attempt: String::new(),
                timestamp: Clock::fixed(0).wall(self.settled_ms * MS),
                ended: Clock::fixed(0).moment(self.settled_ms * MS),
                call: Call {
                    pid: 1,
                    tid: self.tid,
                    comm: String::new(),
                    uid: 0,
                    cgroup_id: 1,
                    fd: Some(3),
                    addrlen: Some(28),
                    address: address::decode(&sockaddr),
                    address_source: AddressSource::Entry,
                    transport: Transport::Tcp,
                    socket_type: SocketType::Stream,
                    local_address: None,
                    local_port: None,
                    destination_address: None,
                    destination_port: None,
                    via: Via::Syscall,
                },
                outcome,
                superseded_by: None,
                errno: None,
                error_type: None,
                duration_ns: (self.settled_ms - self.began_ms) * MS,
                left_with: String::new(),
            }
        }
    }

    /// By which of these the attempt was superseded.
    fn superseder(established: &[Try], abandoned: Try) -> Option<String> {
        let mut rivals = Rivals::default();
        for one in established {
            rivals.judge(&mut Event::Outcome(one.ends(Settlement::Established)));
        }
        let mut event = Event::Outcome(abandoned.ends(Settlement::Abandoned));
        rivals.judge(&mut event);
        match event {
            Event::Outcome(outcome) => outcome.superseded_by,
            Event::Connect(_) | Event::Lost(_) | Event::Notice(_) => None,
        }
    }

    fn is_superseded(established: &[Try], abandoned: Try) -> bool {
        superseder(established, abandoned).is_some()
    }

    #[test]
    fn of_each_of_several_tries_in_a_row() {
        // The next one begins as soon as the one before has its connection.
        let mut established = Vec::new();
        for begin in [0, 251, 502, 753] {
            established.push(attempt(1, begin + 200, begin + 250));
            let loser = attempt(101, begin, begin + 251);
            assert!(is_superseded(&established, loser), "{begin}");
        }
    }

    #[test]
    fn by_the_last_that_was_established() {
        let others = [attempt(3, 300, 319), attempt(2, 300, 320)];
        let by = superseder(&others, attempt(101, 50, 322));
        assert_eq!(by.as_deref(), Some("12c-2"));
        // Whichever began first.
        assert!(is_superseded(
            &[attempt(101, 50, 260)],
            attempt(1, 250, 261)
        ));
    }

    #[test]
    fn not_without_a_reason_to_close_it() {
        let closed = attempt(1, 100, 1100);
        assert!(!is_superseded(&[], closed));
        // Established before it began, or a while before it was closed.
        assert!(!is_superseded(&[attempt(2, 50, 90)], closed));
        assert!(!is_superseded(&[attempt(2, 100, 1000)], closed));
        // A try to the same address is a retry, and no other address.
        assert!(!is_superseded(&[attempt(1, 1000, 1099)], closed));
        // Others had been there before, and it was not closed.
        let established = [attempt(3, 100, 200), attempt(2, 1000, 1099)];
        assert!(!is_superseded(&established, closed));
        assert!(is_superseded(&established[1..], closed));
    }

    #[test]
    fn not_by_one_that_began_long_after() {
        assert!(is_superseded(
            &[attempt(2, 2000, 2100)],
            attempt(1, 0, 2101)
        ));
        assert!(!is_superseded(
            &[attempt(2, 2001, 2100)],
            attempt(1, 0, 2101)
        ));
    }

    /// A runtime may begin each on another thread; but threads have tries of their own, too.
    #[test]
    fn by_that_of_another_thread_only_across_families() {
        let closed = attempt(101, 0, 300);
        let other = attempt(1, 250, 299).of_thread(2);
        assert!(is_superseded(&[other], closed));
        let alike = attempt(102, 250, 299).of_thread(2);
        assert!(!is_superseded(&[alike], closed));
    }

    /// More than is remembered makes it forget, and never say what is not so.
    #[test]
    fn what_is_kept_is_bounded() {
        let closed = attempt(90, 0, 300);
        let many: Vec<_> = (1..=20).map(|to| attempt(to, 1, 299)).collect();
        assert!(!is_superseded(&many, closed));

        let mut rivals = Rivals::default();
        for pid in 0..3_000 {
            let mut outcome = attempt(1, 0, 1).ends(Settlement::Established);
            outcome.call.pid = pid;
            rivals.judge(&mut Event::Outcome(outcome));
        }
        assert!(rivals.young.len() <= GENERATION && rivals.old.len() <= GENERATION);
    }
}
