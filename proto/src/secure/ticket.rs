//! Tickets: a client shows that its user has logged in before, so that attempts of others do not count against it.

use core::time::Duration;

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

use super::Login;
use super::keys::mac;
use crate::secret::Secret;

/// Length of a ticket in bytes.
pub const TICKET_LEN: usize = 32;

/// Time that a ticket is valid.
pub const TICKET_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A ticket of one user. It is worth nothing without the password, but a thief can use up the attempts of its user.
pub type Ticket = [u8; TICKET_LEN];

/// The server's key for tickets. Erased when dropped, never printed.
#[derive(Clone)]
pub(super) struct TicketKey(pub(super) Secret<32>);

impl TicketKey {
    /// The ticket of a user with this record. `expiry` is in seconds since 1970. The server stores nothing.
    ///
    /// A ticket contains the expiry and a MAC. The MAC covers the record, so a new password makes all tickets invalid.
    pub(super) fn issue(&self, login: &Login, record: &[u8], expiry: u64) -> Ticket {
        let mut ticket = [0; TICKET_LEN];
        let mac = self.mac(login, record, expiry);
        for (to, from) in ticket.iter_mut().zip(expiry.to_be_bytes().iter().chain(&mac)) {
            *to = *from;
        }
        ticket
    }

    /// Returns true if `ticket` was issued for this user and record, and has not expired at `now` (seconds since 1970).
    /// A server without a clock passes `None` and accepts every expiry. Takes the same time for every ticket.
    pub(super) fn accepts(&self, ticket: &Ticket, login: &Login, record: &[u8], now: Option<u64>) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *ticket;
        let expiry = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let is_genuine: bool = self.issue(login, record, expiry).ct_eq(ticket).into();
        let is_current = now.is_none_or(|now| now < expiry);
        is_genuine & is_current
    }

    fn mac(&self, login: &Login, record: &[u8], expiry: u64) -> [u8; 64] {
        let record = Sha512::digest(record);
        let parts: [&[u8]; 4] = [
            b"ticket",
            &record,
            &expiry.to_be_bytes(),
            login.as_str().as_bytes(),
        ];
        mac(&*self.0, &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str) -> Login {
        Login::new(name).unwrap()
    }

    #[test]
    fn a_ticket_is_for_one_user_one_record_and_one_key() {
        let key = TicketKey(Secret::copied_from(&[1; 32]));
        let ticket = key.issue(&login("kean"), b"record", 100);
        assert!(key.accepts(&ticket, &login("kean"), b"record", Some(99)));
        assert!(!key.accepts(&ticket, &login("eve"), b"record", Some(99)));
        assert!(!key.accepts(&ticket, &login("kean"), b"another", Some(99)));
        assert!(!TicketKey(Secret::copied_from(&[2; 32])).accepts(
            &ticket,
            &login("kean"),
            b"record",
            Some(99)
        ));
    }

    #[test]
    fn a_ticket_expires_and_its_expiry_cannot_be_changed() {
        let key = TicketKey(Secret::copied_from(&[1; 32]));
        let mut ticket = key.issue(&login("kean"), b"record", 100);
        assert!(!key.accepts(&ticket, &login("kean"), b"record", Some(100)));
        assert!(key.accepts(&ticket, &login("kean"), b"record", None));
        ticket[7] += 1;
        assert!(!key.accepts(&ticket, &login("kean"), b"record", Some(100)));
    }

    #[test]
    fn every_changed_bit_makes_a_ticket_invalid() {
        let key = TicketKey(Secret::copied_from(&[1; 32]));
        let ticket = key.issue(&login("kean"), b"record", 100);
        for bit in 0..TICKET_LEN * 8 {
            let mut changed = ticket;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !key.accepts(&changed, &login("kean"), b"record", None),
                "bit {bit}"
            );
        }
    }
}
