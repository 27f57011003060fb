//! Ticket of a user: a token from an earlier login, in a client's file or in the folder for state.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sandhog_proto::secure;

/// A ticket. It is worth nothing without the password, but whoever has it can use up the user's login attempts, so Debug does
/// not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ticket(secure::Ticket);

impl Ticket {
    /// A ticket as the protocol has it.
    #[must_use]
    pub const fn new(ticket: secure::Ticket) -> Self {
        Self(ticket)
    }

    /// Reads standard base64 with padding (44 characters), the form in files. `None` for any other text.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The output that [`from_base64`](Self::from_base64) reads.
    #[must_use]
    pub fn to_base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    /// The end of its validity, in seconds since 1970. Only the server can tell if the ticket is genuine.
    #[must_use]
    pub fn expiry(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The ticket for the protocol.
    #[must_use]
    pub const fn bytes(self) -> secure::Ticket {
        self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_back_and_other_texts_are_rejected() {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&1_800_000_000_u64.to_be_bytes());
        let ticket = Ticket::new(bytes);
        let text = ticket.to_base64();
        assert_eq!((text.len(), ticket.expiry()), (44, 1_800_000_000));
        assert_eq!(Ticket::from_base64(&text), Some(ticket));
        for wrong in ["", "x", &text[..40], &format!("{text}\n")] {
            assert_eq!(Ticket::from_base64(wrong), None, "{wrong}");
        }
        assert!(!format!("{ticket:?}").contains(&text[8..16]));
    }
}
