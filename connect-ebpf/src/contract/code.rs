//! Codes: small numbers in records and counters that stand for something that has a name.
//!
//! One table per code gives number and name together. The kernel object writes numbers; the decoder, the
//! table, the JSON and the metrics take number and name from here.

macro_rules! codes {
    (
        $(#[$about:meta])*
        pub enum $code:ident {
            $($(#[$meaning:meta])* $variant:ident = $number:literal, $name:literal;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $code {
            $($(#[$meaning])* $variant = $number,)*
        }

        impl $code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number that stands for it in records and counters.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The code of this number; `None` where there is none.
            #[must_use]
            pub const fn of(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name in tables, JSON and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl core::fmt::Display for $code {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }

        #[cfg(feature = "user")]
        impl serde::Serialize for $code {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

pub(crate) use codes;

codes! {
    /// What a record reports: [`crate::record::Header::kind`].
    pub enum Kind {
        /// A connect call that is over: [`crate::record::Connect`].
        Connect = 1, "connect";
        /// An attempt that was settled after its call: [`crate::record::Outcome`].
        Outcome = 2, "outcome";
    }
}

codes! {
    /// How a call was made: [`crate::record::Call::via`].
    pub enum Via {
        /// The native `connect` system call.
        Syscall = 1, "syscall";
        /// `IORING_OP_CONNECT` of io_uring.
        IoUring = 2, "io_uring";
        /// The `connect` or `socketcall` system call of a 32-bit program, or by `int 0x80`.
        Compat = 3, "compat";
        /// No call was seen, only what became of the socket.
        Unknown = 4, "unknown";
    }
}

codes! {
    /// Whose copy of the address was read, and when: [`crate::record::Call::address_source`].
    pub enum AddressSource {
        /// The address was not read; [`crate::record::Call::address_len`] is 0.
        NotRead = 0, "none";
        /// The caller's memory, when the call was entered.
        Entry = 1, "entry";
        /// The caller's memory, when the call returned, or when its socket began to connect.
        Exit = 2, "exit";
        /// The kernel's own copy, which the caller cannot change.
        Kernel = 3, "kernel";
    }
}

codes! {
    /// What a socket is: [`crate::record::Connect::transport`].
    pub enum Transport {
        /// The descriptor is no socket, or nobody looked.
        Unknown = 0, "unknown";
        /// TCP.
        Tcp = 1, "tcp";
        /// UDP.
        Udp = 2, "udp";
        /// A unix domain socket, of any type.
        Unix = 3, "unix";
        /// Multipath TCP.
        Mptcp = 4, "mptcp";
        /// SCTP.
        Sctp = 5, "sctp";
        /// DCCP.
        Dccp = 6, "dccp";
        /// UDP-Lite.
        Udplite = 7, "udplite";
        /// ICMP or `ICMPv6` of a "ping socket" (icmp(7)).
        Icmp = 8, "icmp";
        /// None: a raw socket of IPv4 or IPv6.
        Raw = 9, "raw";
        /// SMC, which begins as TCP.
        Smc = 10, "smc";
        /// None of the others; the family of the address says what is known.
        Other = 11, "other";
    }
}

impl Transport {
    /// Whether it says more than the family of the address does.
    #[must_use]
    pub const fn is_known(self) -> bool {
        !matches!(self, Self::Unknown | Self::Other)
    }

    /// Whether its sockets send datagrams to wherever they are connected, which by itself sends nothing.
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::Udplite | Self::Icmp | Self::Raw)
    }

    /// Whether its sockets have the endpoints of the internet: addresses and ports.
    #[must_use]
    pub const fn is_internet(self) -> bool {
        !matches!(self, Self::Unknown | Self::Unix | Self::Smc | Self::Other)
    }
}

codes! {
    /// What kind of socket was asked for, in the numbers of socket(2): [`crate::record::Connect::socket_type`].
    pub enum SocketType {
        /// The descriptor is no socket, or nobody looked.
        Unknown = 0, "unknown";
        /// A connection, of bytes.
        Stream = 1, "stream";
        /// No connection: each datagram is on its own.
        Datagram = 2, "dgram";
        /// No connection, and no transport either.
        Raw = 3, "raw";
        /// No connection, but reliable.
        Rdm = 4, "rdm";
        /// A connection, of messages.
        Seqpacket = 5, "seqpacket";
        /// DCCP's connection.
        Dccp = 6, "dccp";
        /// Obsolete: packets of a network interface.
        Packet = 10, "packet";
    }
}

impl SocketType {
    /// Whether connect only notes the peer, and sends nothing.
    #[must_use]
    pub const fn is_connectionless(self) -> bool {
        matches!(self, Self::Datagram | Self::Raw | Self::Rdm | Self::Packet)
    }
}

codes! {
    /// What became of an attempt: [`crate::record::Outcome::outcome`].
    pub enum Settlement {
        /// Nothing yet. In no record, only in the kernel object's tables.
        Pending = 0, "pending";
        /// The connection is there.
        Established = 1, "established";
        /// It failed, with [`crate::record::Outcome::errno`] if that could be read.
        Failed = 2, "failed";
        /// The application gave up first: it closed, shut down or dissolved the socket, or ended.
        Abandoned = 3, "abandoned";
    }
}

impl Settlement {
    /// The outcomes that end an attempt.
    pub const FINAL: [Self; 3] = [Self::Established, Self::Failed, Self::Abandoned];
}

codes! {
    /// What a call came to, as counters tell calls apart: index of [`crate::counter::Tally::results`].
    pub enum CallResult {
        /// It returned 0.
        Success = 0, "success";
        /// It returned `EINPROGRESS`.
        InProgress = 1, "in_progress";
        /// It returned another errno.
        Failure = 2, "failure";
        /// It never returned to the application.
        Unreturned = 3, "unreturned";
    }
}

impl CallResult {
    /// The results of calls that returned, of which there are histograms.
    pub const RETURNED: [Self; 3] = [Self::Success, Self::InProgress, Self::Failure];

    /// Its place in an array.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! assert_table {
        ($($code:ident)*) => {$(
            for &code in $code::ALL {
                assert_eq!($code::of(code.number()), Some(code));
                let same_name = $code::ALL.iter().filter(|other| other.name() == code.name());
                assert_eq!(same_name.count(), 1, "{code}");
            }
            assert_eq!($code::of(u8::MAX), None);
        )*};
    }

    #[test]
    fn numbers_and_names_are_unique() {
        assert_table!(Kind Via AddressSource Transport SocketType Settlement CallResult);
    }
}
