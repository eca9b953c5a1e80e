//! What a sockaddr says.

use std::borrow::Cow;

use serde::Serialize;

/// An address as far as it could be decoded; `None` is what the bytes do not say.
///
/// Serialised under the names of the public JSON, without the keys that are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Address {
    /// `AF_INET` and so on, or the number as text; `None` when there are fewer than 2 bytes.
    #[serde(rename = "address.family", skip_serializing_if = "Option::is_none")]
    pub family: Option<Cow<'static, str>>,
    /// How [`Self::peer_address`] is written: `ipv4` (also of an IPv4-mapped address) or `ipv6`.
    #[serde(rename = "network.type", skip_serializing_if = "Option::is_none")]
    pub network_type: Option<&'static str>,
    /// The address in the notation of its family; text an application chose is
    /// [escaped](crate::escape::Escaped).
    #[serde(
        rename = "network.peer.address",
        skip_serializing_if = "Option::is_none"
    )]
    pub peer_address: Option<String>,
    /// The port, where the family has one as a field of its own.
    #[serde(rename = "network.peer.port", skip_serializing_if = "Option::is_none")]
    pub peer_port: Option<u32>,
    /// `pathname`, `abstract` or `unnamed`, of an `AF_UNIX` address.
    #[serde(rename = "unix.type", skip_serializing_if = "Option::is_none")]
    pub unix_type: Option<&'static str>,
    /// Lower-case hex of all bytes passed, when they were not decoded.
    #[serde(rename = "address.raw", skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl Address {
    /// The destination as a person reads it in a table; `-` when there is none.
    #[must_use]
    pub fn destination(&self) -> String {
        match (&self.peer_address, self.peer_port, &self.raw) {
            (Some(ip), Some(port), _) if self.network_type == Some("ipv6") => {
                format!("[{ip}]:{port}")
            }
            (Some(address), Some(port), _) => format!("{address}:{port}"),
            (Some(address), None, _) => address.clone(),
            (None, _, Some(hex)) => format!("raw {hex}"),
            (None, _, None) if self.unix_type.is_some() => "(unnamed)".to_owned(),
            (None, _, None) => "-".to_owned(),
        }
    }

    /// An address that is nothing but text in the notation of its family.
    pub(super) fn notation(text: String) -> Self {
        Self {
            peer_address: Some(text),
            ..Self::default()
        }
    }
}
