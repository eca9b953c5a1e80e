//! What became of a call or of an attempt, where that is no errno.

use super::entry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "established",
        meaning: "the attempt succeeded after its call had returned",
        hint: "connected, after its call had returned",
        situations: &[
            (
                "TCP",
                "The peer answered the SYN, and the handshake is complete. The application learns \
                 it when the socket becomes writable.",
            ),
            (
                "any",
                "That the server has accepted is not said: the kernel of the peer answers, and its \
                 backlog may still hold the connection.",
            ),
        ],
        causes: &[
            "Everything works: this is the usual end of EINPROGRESS.",
            "If the application complains all the same: the server is stuck after the handshake, or \
             a proxy in between (a service mesh, a load balancer) answers for a server that is down.",
            "If TOOK is just above 1 s, or more: the first SYNs were lost, and sent again.",
        ],
        look_at: &[
            (
                "ss -tnpi dst ADDR",
                "the connection, its round trip time and retransmissions",
            ),
            (
                "ss -ltn 'sport = :PORT'",
                "on the server: Recv-Q is what waits to be accepted",
            ),
        ],
    },
    Entry {
        name: "failed",
        meaning: "the network decided against the attempt",
        hint: "the errno that it failed with is not known: connect-observer check",
        situations: &[(
            "TCP",
            "After its call had returned, the attempt ended with an error. The table shows the \
             errno in place of this word; where it does not, this kernel does not let us read it.",
        )],
        causes: &[
            "As the errno says: connect-observer explain ECONNREFUSED, ETIMEDOUT and so on.",
            "Without an errno: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF).",
        ],
        look_at: &[
            (
                "connect-observer check",
                "whether errnos of outcomes can be read here",
            ),
            (
                "tcpdump -ni any host ADDR and port PORT",
                "what comes back: a reset, ICMP, or nothing",
            ),
        ],
    },
    Entry {
        name: "abandoned",
        meaning: "the application gave up before the network had decided",
        hint: "no answer for as long as shown, then the program gave up",
        situations: &[(
            "TCP",
            "No answer had come when the application closed, shut down or dissolved the socket, or \
             ended. TOOK is how long it had waited. The kernel by itself would have gone on to \
             ETIMEDOUT, for a bit over 2 minutes by default.",
        )],
        causes: &[
            "The application's own timeout ran out: a TOOK of a round number of seconds. What is \
             behind it is then the same as for ETIMEDOUT: a firewall that drops, a host that is off, \
             a server whose accept queue is full.",
            "It tried several addresses at once, as browsers and curl do with IPv6 and IPv4, and \
             another one was faster: that is superseded, where it can be told; here it may be so \
             if the same process has an established attempt.",
            "The user or a supervisor ended the application, or it cancelled the request.",
        ],
        look_at: &[
            (
                "connect-observer explain ETIMEDOUT",
                "what can keep an answer away, and where to look for it",
            ),
            (
                "connect-observer trace --settled --pid PID",
                "all attempts of the process: whether another address worked",
            ),
            (
                "tcpdump -ni any host ADDR and port PORT",
                "whether the SYN leaves, and whether anything comes back",
            ),
            (
                "the application's connect timeout",
                "whether TOOK is just that: curl --connect-timeout, for example",
            ),
        ],
    },
    Entry {
        name: "superseded",
        meaning: "not needed any more: another address was faster",
        hint: "no failure: another address of the same try was established first",
        situations: &[(
            "TCP",
            "The application tried several addresses of one name at about the same time, took the \
             first that was established, and closed this one at once (RFC 8305, \"happy eyeballs\"). \
             JSON says abandoned, and superseded_by with the id of the other.",
        )],
        causes: &[
            "Everything works: the application has its connection.",
            "If it is so each time, and for one family of addresses: that family does not get \
             through (no IPv6 beyond the router, for example), and each connection waits for it a \
             moment, 200 to 300 ms mostly.",
            "The answer takes longer than from the other address.",
        ],
        look_at: &[
            (
                "ip -6 route get ADDR",
                "whether there is a route for that family at all",
            ),
            (
                "curl -6 and curl -4",
                "whether each family works by itself, and how fast",
            ),
        ],
    },
    Entry {
        name: "associated",
        meaning: "the socket has noted its peer, and nothing has been sent",
        hint: "nothing was sent: whether the peer is there shows later, if at all",
        situations: &[
            (
                "UDP",
                "There is a route, a local address and a port; that is all. No packet has left, so \
                 the peer may be off, or nobody may listen there. UDP-Lite, raw and ping sockets \
                 are the same.",
            ),
            (
                "unix",
                "Of a datagram socket (unixgram): the peer's socket is there and we may write to \
                 it. Nobody need ever read it.",
            ),
            (
                "netlink",
                "The port id was noted. Port 0 is the kernel; of another, nobody has looked \
                 whether it is there. CAN, TIPC and vsock datagrams are much the same.",
            ),
        ],
        causes: &[
            "Everything works: a DNS client, a logger or a QUIC client is about to send.",
            "getaddrinfo asks which address the kernel would use: with a UDP socket it connects to \
             each address of the name, sends nothing to any, and sorts them. The connect that \
             counts comes after, by TCP for the most part.",
            "If the application complains all the same: the error came after the connect. ICMP says \
             that nobody listens, and the next send or recv gets ECONNREFUSED; the table shows it as \
             a line that ends in (after associated). Or no answer comes.",
        ],
        look_at: &[
            (
                "tcpdump -ni any host ADDR and port PORT",
                "whether anything is sent, and what comes back",
            ),
            ("ss -unap", "UDP sockets with their peers, and who has them"),
            (
                "strace -f -e trace=network -p PID",
                "what the application sends and gets after the connect",
            ),
        ],
    },
    Entry {
        name: "dissolved",
        meaning: "the socket has no peer any more (AF_UNSPEC)",
        hint: "the application took the peer away from its socket (AF_UNSPEC)",
        situations: &[
            (
                "datagrams",
                "The association is gone, and the socket takes datagrams from everybody again. \
                 Nothing is sent.",
            ),
            (
                "TCP",
                "The connection is cut, by a reset where there was one; an attempt that goes on is \
                 abandoned. The socket can connect again.",
            ),
        ],
        causes: &[
            "getaddrinfo uses one UDP socket to ask about several addresses, one after the other.",
            "Somebody forgot to fill in the address: zeros look exactly like that.",
            "The application uses its socket again for another peer.",
        ],
        look_at: &[(
            "connect-observer trace --pid PID",
            "what the same descriptor (FD) connected to before, and connects to next",
        )],
    },
    Entry {
        name: "killed",
        meaning: "the call never returned to the application",
        hint: "the call never returned: its thread ended, or a handler jumped away",
        situations: &[
            (
                "any",
                "The thread ended while it was in connect; or a signal came, and its handler jumped \
                 out of the call instead of returning (longjmp, an exception). JSON says killed: \
                 true, with errno 512, the kernel's own ERESTARTSYS.",
            ),
            (
                "TCP",
                "If only the call was left, its attempt goes on, and its outcome follows. If the \
                 process ended, the attempt is abandoned.",
            ),
        ],
        causes: &[
            "Somebody killed the process while it waited: a user's ^C, timeout(1), a supervisor, a \
             failed health check.",
            "The kernel did, as memory had run out.",
            "Another thread ended the process (exit, a crash).",
            "The runtime uses a signal handler that jumps as its timeout.",
        ],
        look_at: &[
            (
                "journalctl -u UNIT -e",
                "whether the service was stopped, and by what signal",
            ),
            (
                "journalctl -k -e",
                "whether the kernel killed it (out of memory, a crash)",
            ),
            (
                "strace -f -e trace=connect -p PID",
                "which signal comes: strace shows signals too",
            ),
        ],
    },
];
