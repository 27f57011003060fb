//! Steps of a client: pings, UDP echo, bulk TCP and HTTP through the tunnel.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Size, Span};

/// A step of an inner host. Exactly one of `ping`, `echo`, `download`, `upload` and `get`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The earliest start.
    #[serde(default)]
    pub at: Span,
    /// If true, the step starts together with the step before it. If false, it starts after that step.
    #[serde(default)]
    pub meanwhile: bool,
    /// ICMP echo requests (RFC 792, RFC 4443).
    pub ping: Option<Ping>,
    /// UDP datagrams to an echo port.
    pub echo: Option<Echo>,
    /// TCP from a bulk port.
    pub download: Option<Download>,
    /// TCP to a bulk port.
    pub upload: Option<Upload>,
    /// HTTP GET.
    pub get: Option<Get>,
}

/// ICMP echo requests (RFC 792, RFC 4443).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ping {
    /// The inner address.
    pub to: IpAddr,
    /// Number of requests.
    #[serde(default = "default_count")]
    pub count: u16,
    /// Interval between requests.
    #[serde(default = "default_interval")]
    pub every: Span,
    /// Payload in bytes.
    #[serde(default = "default_payload")]
    pub size: u16,
    /// Time after which a request without a reply is lost.
    #[serde(default = "default_reply_timeout")]
    pub timeout: Span,
    /// Number of replies for success.
    #[serde(default = "default_replies")]
    pub replies: u16,
}

fn default_count() -> u16 {
    4
}

fn default_interval() -> Span {
    Span(Duration::from_secs(1))
}

fn default_payload() -> u16 {
    56
}

fn default_reply_timeout() -> Span {
    Span(Duration::from_secs(2))
}

fn default_replies() -> u16 {
    1
}

/// UDP datagrams to an echo port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Echo {
    /// The inner address and port.
    pub to: SocketAddr,
    /// Number of requests.
    #[serde(default = "default_count")]
    pub count: u16,
    /// Interval between requests.
    #[serde(default = "default_interval")]
    pub every: Span,
    /// Payload in bytes.
    #[serde(default = "default_payload")]
    pub size: u16,
    /// Time after which a request without a reply is lost.
    #[serde(default = "default_reply_timeout")]
    pub timeout: Span,
    /// Number of replies for success.
    #[serde(default = "default_replies")]
    pub replies: u16,
}

/// TCP from a bulk port, checked by SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Download {
    /// The inner address and port.
    pub from: SocketAddr,
    /// Number of bytes.
    pub bytes: Size,
}

/// TCP to a bulk port, checked by SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Upload {
    /// The inner address and port.
    pub to: SocketAddr,
    /// Number of bytes.
    pub bytes: Size,
}

/// HTTP/1.1 GET.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Get {
    /// The inner address and port.
    pub from: SocketAddr,
    /// The path, such as `/hello.txt`.
    pub path: String,
}
