//! Errors of a tunnel: failed starts and calls that the state does not allow.

use core::error::Error;
use core::fmt;

/// The reason why [`Command::Start`](crate::Command::Start) failed, or why a tunnel went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The server did not answer in time.
    ConnectionTimedOut,
    /// The server answered that the user name or the password is wrong.
    AuthenticationRejected,
    /// [`Command::Stop`](crate::Command::Stop) came before the server answered.
    Stopped,
    /// The key has sealed the largest safe number of messages. A new key is needed.
    KeyExhausted,
    /// The user name or the password is longer than the protocol carries. The status is
    /// [`TunnelStatus::Invalid`](crate::TunnelStatus::Invalid).
    InvalidConfiguration,
    /// User name and password are right, but the account is disabled.
    AccountDisabled,
    /// User name and password are right, but the account has expired.
    AccountExpired,
    /// User name and password are right, but the server has no free address.
    ServerFull,
    /// Another device of the same user took over the session.
    SessionReplaced,
    /// A server answered, but it has another key than the configured one.
    OtherServer,
    /// A reason of another protocol, in kebab case.
    Other(&'static str),
}

impl StartError {
    /// All reasons of the Sandhog protocols, without [`StartError::Other`], in a fixed order.
    pub const ALL: &'static [Self] = &[
        Self::ConnectionTimedOut,
        Self::AuthenticationRejected,
        Self::Stopped,
        Self::KeyExhausted,
        Self::InvalidConfiguration,
        Self::AccountDisabled,
        Self::AccountExpired,
        Self::ServerFull,
        Self::SessionReplaced,
        Self::OtherServer,
    ];

    /// A stable name in kebab case.
    ///
    /// ```
    /// use sandhog_peer::StartError;
    ///
    /// assert_eq!(StartError::ServerFull.name(), "server-full");
    /// assert_eq!(StartError::Other("no-licence").name(), "no-licence");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionTimedOut => "connection-timed-out",
            Self::AuthenticationRejected => "authentication-rejected",
            Self::Stopped => "stopped",
            Self::KeyExhausted => "key-exhausted",
            Self::InvalidConfiguration => "invalid-configuration",
            Self::AccountDisabled => "account-disabled",
            Self::AccountExpired => "account-expired",
            Self::ServerFull => "server-full",
            Self::SessionReplaced => "session-replaced",
            Self::OtherServer => "other-server",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionTimedOut => "the server did not answer in time",
            Self::AuthenticationRejected => "the server rejected the name or the password",
            Self::Stopped => "stopped before the server answered",
            Self::KeyExhausted => "the key has sealed as many messages as is safe",
            Self::InvalidConfiguration => "the user name or the password is too long",
            Self::AccountDisabled => "the account is disabled",
            Self::AccountExpired => "the account has expired",
            Self::ServerFull => "the server has no address left",
            Self::OtherServer => "the server has another key than the configuration",
            Self::SessionReplaced => "the session went to another device of the same user",
            Self::Other(name) => name,
        })
    }
}

impl Error for StartError {}

/// A call that the present state does not allow. It is a mistake in the program, and the network never causes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// `start` on a tunnel that is already up or coming up.
    AlreadyStarted,
    /// A command that only a client supports.
    NotAClient,
    /// A command that this peer does not support.
    Unsupported,
    /// A command that needs a started tunnel.
    NotStarted,
    /// The result of a job that this peer does not wait for.
    UnknownJob,
    /// An input while outputs of an earlier input still wait to be polled.
    NotDrained,
}

impl fmt::Display for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyStarted => "start: the tunnel is already up or coming up",
            Self::NotAClient => "only a client takes this command",
            Self::Unsupported => "this peer does not support the command",
            Self::NotStarted => "the tunnel has not been started",
            Self::UnknownJob => "no such job is waiting for a result",
            Self::NotDrained => "an input before the outputs of the last one were polled",
        })
    }
}

impl Error for ApiMisuse {}
