//! Steps of a client: pings, UDP echo, bulk TCP and HTTP through the tunnel.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sandhog_netstack::TcpOptions;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Rate, Size, Span};

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
    /// Number of replies for success. Without this key, every request must be answered.
    pub replies: Option<u16>,
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
    /// Number of replies for success. Without this key, every request must be answered.
    pub replies: Option<u16>,
}

/// TCP from a bulk port, checked by SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Download {
    /// The inner address and port.
    pub from: SocketAddr,
    /// Number of bytes.
    pub bytes: Size,
    /// Time after which a connection is aborted if the server sends nothing (RFC 5482).
    #[serde(default = "super::default_tcp_timeout")]
    pub timeout: Span,
    /// A slow reader: the client reads at most at this rate, so its window closes.
    pub read_rate: Option<Rate>,
    /// If true, the client closes its half of the connection (FIN) when it has sent everything, and still receives.
    #[serde(default)]
    pub half_close: bool,
    /// The client aborts the connection (RST) after it has received this number of bytes. The step succeeds then.
    pub reset_after: Option<Size>,
}

/// TCP to a bulk port, checked by SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Upload {
    /// The inner address and port.
    pub to: SocketAddr,
    /// Number of bytes.
    pub bytes: Size,
    /// Time after which a connection is aborted if the server sends nothing (RFC 5482).
    #[serde(default = "super::default_tcp_timeout")]
    pub timeout: Span,
    /// If true, the client closes its half of the connection (FIN) when it has sent everything, and still receives.
    #[serde(default)]
    pub half_close: bool,
    /// The client aborts the connection (RST) after the server has acknowledged this number of bytes. The step succeeds then.
    pub reset_after: Option<Size>,
}

/// HTTP/1.1 GET.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Get {
    /// The inner address and port.
    pub from: SocketAddr,
    /// The path, such as `/hello.txt`.
    pub path: String,
    /// Time after which a connection is aborted if the server sends nothing (RFC 5482).
    #[serde(default = "super::default_tcp_timeout")]
    pub timeout: Span,
    /// A slow reader: the client reads at most at this rate, so its window closes.
    pub read_rate: Option<Rate>,
    /// If true, the client closes its half of the connection (FIN) when it has sent everything, and still receives.
    #[serde(default)]
    pub half_close: bool,
}

impl Step {
    /// Returns true if the step opens a TCP connection.
    pub(super) fn is_tcp(&self) -> bool {
        self.download.is_some() || self.upload.is_some() || self.get.is_some()
    }

    /// The keys of the TCP connection of the step.
    pub(super) fn tcp_keys(&self) -> Option<TcpKeys> {
        if let Some(download) = &self.download {
            Some(TcpKeys {
                table: "download",
                timeout: download.timeout,
                read_rate: download.read_rate,
                half_close: download.half_close,
                reset_after: download.reset_after,
                bytes: Some(download.bytes),
            })
        } else if let Some(upload) = &self.upload {
            Some(TcpKeys {
                table: "upload",
                timeout: upload.timeout,
                read_rate: None,
                half_close: upload.half_close,
                reset_after: upload.reset_after,
                bytes: Some(upload.bytes),
            })
        } else {
            self.get.as_ref().map(|get| TcpKeys {
                table: "get",
                timeout: get.timeout,
                read_rate: get.read_rate,
                half_close: get.half_close,
                reset_after: None,
                bytes: None,
            })
        }
    }
}

/// The keys of a TCP connection that `download`, `upload` and `get` share.
pub(super) struct TcpKeys {
    /// The key of the table.
    pub(super) table: &'static str,
    pub(super) timeout: Span,
    pub(super) read_rate: Option<Rate>,
    pub(super) half_close: bool,
    pub(super) reset_after: Option<Size>,
    pub(super) bytes: Option<Size>,
}

impl TcpKeys {
    /// The options of the task.
    pub(super) fn options(&self) -> TcpOptions {
        TcpOptions {
            timeout: Some(self.timeout.0),
            read_rate: self.read_rate.map(|rate| rate.bits_per_second / 8),
            half_close: self.half_close,
            reset_after: self.reset_after.map(|size| size.0),
        }
    }
}
