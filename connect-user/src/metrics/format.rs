//! Formats in which metrics are written, and which of them a client prefers.

use std::fmt;

use prometheus_client::{
    encoding::{prometheus_protobuf, prometheus_text, text},
    registry::Registry,
};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, which everything understands.
    Text,
    /// `OpenMetrics` text.
    OpenMetrics,
    /// Prometheus protobuf, the only format with native histograms.
    Protobuf,
}

impl Format {
    /// What a client with this `Accept` header prefers (RFC 9110, section 12.5.1); among equals, the
    /// one that it names first. Text, if it takes none of ours.
    ///
    /// ```
    /// use connect_observer::metrics::format::Format;
    ///
    /// let accept = "text/plain;version=0.0.4;q=0.5, application/openmetrics-text; version=1.0.0";
    /// assert_eq!(Format::preferred(accept), Format::OpenMetrics);
    /// assert_eq!(Format::preferred("*/*"), Format::Text);
    /// ```
    #[must_use]
    pub fn preferred(accept: &str) -> Self {
        let mut best = (Self::Text, 0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let weight = parameters
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("q"))
                .map_or(Some(1.0), |(_, weight)| weight.trim().parse::<f32>().ok())
                .map_or(0, per_mille);
            if let Some(format) = Self::of_type(kind, &parameters)
                && weight > best.1
            {
                best = (format, weight);
            }
        }
        best.0
    }

    fn of_type(kind: &str, parameters: &[(&str, &str)]) -> Option<Self> {
        let parameter = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().trim_matches('"'))
        };
        match kind.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => {
                matches!(parameter("version"), None | Some("0.0.1" | "1.0.0"))
                    .then_some(Self::OpenMetrics)
            }
            "application/vnd.google.protobuf" => {
                let ours = parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && parameter("encoding") == Some("delimited");
                ours.then_some(Self::Protobuf)
            }
            "text/plain" => {
                matches!(parameter("version"), None | Some("0.0.4")).then_some(Self::Text)
            }
            "*/*" | "text/*" => Some(Self::Text),
            _ => None,
        }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }

    /// Writes everything that is registered.
    ///
    /// # Errors
    ///
    /// A collector fails.
    pub fn encode(self, registry: &Registry) -> Result<Vec<u8>, fmt::Error> {
        let mut text = String::new();
        match self {
            Self::Text => prometheus_text::encode(&mut text, registry)?,
            Self::OpenMetrics => text::encode(&mut text, registry)?,
            Self::Protobuf => {
                return prometheus_protobuf::encode_to_vec(registry).map_err(|error| {
                    log::error!("cannot write protobuf: {error}");
                    fmt::Error
                });
            }
        }
        Ok(text.into_bytes())
    }
}

/// A weight has three decimals at most, so thousandths compare exactly.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped before"
)]
fn per_mille(weight: f32) -> u32 {
    (weight.clamp(0.0, 1.0) * 1000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_heaviest_format_that_we_have_is_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml", Format::Text),
            ("application/openmetrics-text;version=9", Format::Text),
            (
                "application/openmetrics-text; q=0, text/plain",
                Format::Text,
            ),
            (
                "application/openmetrics-text;q=0.5,text/plain;q=0.6",
                Format::Text,
            ),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text;q=nonsense", Format::Text),
            (";;;,,,=;q", Format::Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                 application/openmetrics-text;version=1.0.0;q=0.8",
                Format::Protobuf,
            ),
            (
                "application/vnd.google.protobuf;proto=other;encoding=delimited",
                Format::Text,
            ),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept:?}");
        }
    }
}
