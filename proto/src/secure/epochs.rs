//! The epochs of a session: previous, current and next keys.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rand_core::{CryptoRng, RngCore};

use super::frame::session_header;
use super::keys::{Chain, Ephemeral, EpochKeys, Next, transcript};
use super::message::{Message, NewKey};
use super::opener::{OpenError, Opened, Opener};
use super::sealer::Sealer;
use crate::aead::Cipher;
use crate::kem::{CIPHERTEXT_LEN, PUBLIC_LEN, PublicKey, Seed};
use crate::{DropReason, Instant, PacketBuf, State, describe};

/// Maximum age of the keys of an epoch.
pub const REJECT_AFTER: Duration = Duration::from_secs(180);
/// Time after a rekey during which datagrams sealed before it are still opened.
pub const KEEP_PREVIOUS: Duration = Duration::from_secs(10);

/// The end of the tunnel. The client seals with the keys that the server opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// The receiver indices of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indices {
    /// Chosen by this side. It is in the datagrams that this side receives.
    pub(super) ours: u32,
    /// Chosen by the peer. It is in the datagrams that this side sends.
    pub(super) theirs: u32,
}

/// The two handles of one epoch. A data plane may hold them too.
struct Epoch {
    sealer: Arc<Sealer>,
    opener: Arc<Opener>,
}

impl Epoch {
    fn new(role: Role, cipher: Cipher, keys: &EpochKeys, indices: Indices) -> Self {
        let (seal, open) = match role {
            Role::Client => (&keys.up, &keys.down),
            Role::Server => (&keys.down, &keys.up),
        };
        Self {
            sealer: Arc::new(Sealer::new(cipher, seal, indices.theirs)),
            opener: Arc::new(Opener::new(cipher, open, indices.ours)),
        }
    }

    fn describe(&self, state: &mut State<'_>) {
        let Self { sealer, opener } = self;
        sealer.describe(state);
        opener.describe(state);
    }
}

/// A rekey in progress.
enum Rekey {
    /// The client has sent its request.
    Asked {
        index: u32,
        cipher: Cipher,
        ephemeral: Ephemeral,
        seed: Seed,
        message: Vec<u8>,
    },
    /// The server has answered. It opens datagrams of the next epoch, but seals under that epoch only after
    /// the client has done so.
    Answered {
        index: u32,
        pk: [u8; 32],
        message: Vec<u8>,
        epoch: Box<Epoch>,
        next: Next,
    },
}

impl Rekey {
    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Asked {
                index,
                cipher,
                ephemeral,
                seed: _,    // made together with the X25519 key
                message: _, // follows from the others
            } => {
                state.number(0);
                describe::random(state, *index);
                describe::text(state, cipher.name());
                ephemeral.describe(state);
            }
            Self::Answered {
                index,
                pk,
                message: _, // follows from the keys of the epoch
                epoch,
                next,
            } => {
                state.number(1);
                describe::random(state, *index);
                state.secret(pk);
                epoch.describe(state);
                next.describe(state);
            }
        }
    }
}

/// All epochs of a session that are still in use.
pub(super) struct Epochs {
    role: Role,
    number: u32,
    began: Instant,
    current: Epoch,
    /// The secret from which the next epoch is derived.
    next: Next,
    previous: Option<(Arc<Opener>, Instant)>,
    rekey: Option<Rekey>,
    /// Changes whenever the handles change.
    revision: u32,
}

/// Result of opening a datagram.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// True if the counter is higher than every earlier one in the newest epoch. Then the datagram's source is the peer's address.
    pub(super) newest: bool,
    /// True for the first datagram under the next epoch. That epoch is now the current one.
    pub(super) switched: bool,
}

impl Epochs {
    /// Epoch 0, from the keys of a login. It uses the default cipher, which every peer supports.
    pub(super) fn new(role: Role, chain: Chain, indices: Indices, now: Instant) -> Self {
        let (keys, next) = chain.epoch(0);
        Self {
            role,
            number: 0,
            began: now,
            current: Epoch::new(role, Cipher::default(), &keys, indices),
            next,
            previous: None,
            rekey: None,
            revision: 0,
        }
    }

    /// Changes whenever a handle to seal or to open with is added or removed.
    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    /// Number of the current epoch.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Cipher of the current epoch.
    pub(super) fn cipher(&self) -> Cipher {
        self.current.sealer.cipher()
    }

    /// Time since which the current keys are in use.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Time at which the current keys become too old to use.
    pub(super) fn expiry(&self) -> Instant {
        self.began.saturating_add(REJECT_AFTER)
    }

    /// Returns true if the current keys are too old to use.
    pub(super) fn are_expired(&self, now: Instant) -> bool {
        now >= self.expiry()
    }

    /// Returns true if one of the current keys has sealed so many messages that it must be replaced.
    pub(super) fn needs_rekey(&self) -> bool {
        self.current.sealer.needs_rekey() || self.current.opener.needs_rekey()
    }

    /// Returns true if a rekey request waits for its answer (client).
    pub(super) const fn is_asking(&self) -> bool {
        matches!(self.rekey, Some(Rekey::Asked { .. }))
    }

    /// The indices of datagrams that can be opened: previous, current, next.
    pub(super) fn open_indices(&self) -> [Option<u32>; 3] {
        let next = match &self.rekey {
            Some(Rekey::Answered { epoch, .. }) => Some(epoch.opener.index()),
            Some(Rekey::Asked { index, .. }) => Some(*index),
            None => None,
        };
        let previous = self.previous.as_ref().map(|(opener, _)| opener.index());
        [previous, Some(self.current.opener.index()), next]
    }

    /// Time at which the previous key is erased.
    pub(super) fn previous_until(&self) -> Option<Instant> {
        self.previous.as_ref().map(|(_, until)| *until)
    }

    /// Erases the previous key if its time is over.
    pub(super) fn forget_previous(&mut self, now: Instant) {
        if self.previous_until().is_some_and(|until| now >= until) {
            self.previous = None;
            self.revision = self.revision.wrapping_add(1);
        }
    }

    /// The handle to seal with.
    pub(super) const fn sealer(&self) -> &Arc<Sealer> {
        &self.current.sealer
    }

    /// The handle to open datagrams of the current epoch with.
    pub(super) const fn opener(&self) -> &Arc<Opener> {
        &self.current.opener
    }

    /// The handle for datagrams sealed before the last rekey, and the time until which it may be used.
    pub(super) const fn previous_opener(&self) -> Option<&(Arc<Opener>, Instant)> {
        self.previous.as_ref()
    }

    /// The handle for datagrams sealed after the pending rekey (server).
    pub(super) fn next_opener(&self) -> Option<&Arc<Opener>> {
        match &self.rekey {
            Some(Rekey::Answered { epoch, .. }) => Some(&epoch.opener),
            Some(Rekey::Asked { .. }) | None => None,
        }
    }

    /// Records a datagram that a data plane has opened with the key of `index`.
    pub(super) fn note(&mut self, now: Instant, index: u32, newest: bool) -> Result<Seen, DropReason> {
        self.forget_previous(now);
        if self.are_expired(now) {
            return Err(DropReason::KeyExpired);
        }
        let is_next = self.next_opener().is_some_and(|opener| opener.index() == index);
        let is_current = self.current.opener.index() == index;
        let is_previous = self
            .previous_opener()
            .is_some_and(|(opener, _)| opener.index() == index);
        if is_next {
            self.switch(now);
        } else if !is_current && !is_previous {
            return Err(DropReason::UnknownIndex);
        }
        Ok(Seen {
            newest: is_next || (newest && is_current),
            switched: is_next,
        })
    }

    /// Opens a datagram in place, under the epoch of its index.
    pub(super) fn open(&mut self, now: Instant, buf: &mut PacketBuf) -> Result<(Opened, Seen), DropReason> {
        self.forget_previous(now);
        let (index, _) = session_header(buf).ok_or(DropReason::NotEnoughData)?;
        // The session is over, even if no timer has run yet. No other epoch revives it.
        if self.are_expired(now) {
            return Err(DropReason::KeyExpired);
        }
        if let Some((opener, _)) = self
            .previous
            .as_ref()
            .filter(|(opener, _)| opener.index() == index)
        {
            let opened = opener.open(buf).map_err(OpenError::reason)?;
            let (newest, switched) = (false, false);
            return Ok((opened, Seen { newest, switched }));
        }
        if let Some(next) = self.next_opener().filter(|opener| opener.index() == index) {
            let opened = next.open(buf).map_err(OpenError::reason)?;
            self.switch(now);
            let (newest, switched) = (true, true);
            return Ok((opened, Seen { newest, switched }));
        }
        let opened = self.current.opener.open(buf).map_err(OpenError::reason)?;
        let (newest, switched) = (opened.newest, false);
        Ok((opened, Seen { newest, switched }))
    }

    /// The client's rekey request. It stays the same until it is answered. `index` is the receiver index for
    /// the server's datagrams in the next epoch. `cipher` is the cipher that the client prefers.
    pub(super) fn ask(&mut self, index: u32, cipher: Cipher, rng: &mut (impl RngCore + CryptoRng)) -> &[u8] {
        if !self.is_asking() {
            let (ephemeral, seed) = (Ephemeral::new(rng), Seed::generate(rng));
            let message = Message::Rekey(NewKey {
                n: self.number.saturating_add(1),
                index,
                cipher,
                pk: ephemeral.public(),
                kem: seed.key_pair().1.into_bytes(),
            })
            .to_bytes();
            self.rekey = Some(Rekey::Asked {
                index,
                cipher,
                ephemeral,
                seed,
                message,
            });
        }
        match &self.rekey {
            Some(Rekey::Asked { message, .. } | Rekey::Answered { message, .. }) => message,
            None => &[],
        }
    }

    /// Handles the server's answer (client). The next epoch becomes the current one.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        new: &NewKey<CIPHERTEXT_LEN>,
        answer: &[u8],
    ) -> Result<(), DropReason> {
        if Some(new.n) != self.number.checked_add(1) {
            return Err(DropReason::Unexpected);
        }
        let Some(Rekey::Asked {
            index: ours,
            cipher: wish,
            ephemeral,
            seed,
            message: asked,
        }) = &self.rekey
        else {
            return Err(DropReason::Unexpected);
        };
        // The server agrees to the preferred cipher or keeps the default.
        if ![*wish, Cipher::default()].contains(&new.cipher) {
            return Err(DropReason::Unexpected);
        }
        let indices = Indices {
            ours: *ours,
            theirs: new.index,
        };
        let dh = ephemeral.agree(&new.pk).ok_or(DropReason::MalformedBody)?;
        let shared = seed.key_pair().0.decapsulate(&new.kem);
        let chain = self.next.chain(&dh, &shared, &transcript(&[asked, answer]));
        let (keys, next) = chain.epoch(new.n);
        let epoch = Epoch::new(self.role, new.cipher, &keys, indices);
        self.enter(now, epoch, next);
        Ok(())
    }

    /// Returns true if the server has answered this request before. The answer is then the stored one.
    ///
    /// # Errors
    ///
    /// [`DropReason::Unexpected`] if the request is not for the next epoch.
    pub(super) fn has_answered(&self, asked: &NewKey<PUBLIC_LEN>) -> Result<bool, DropReason> {
        if Some(asked.n) != self.number.checked_add(1) {
            return Err(DropReason::Unexpected);
        }
        Ok(matches!(
            &self.rekey,
            Some(Rekey::Answered { index, pk, .. }) if *index == asked.index && *pk == asked.pk
        ))
    }

    /// Handles the client's request (server) and returns the answer. The same request gets the same answer.
    ///
    /// A request with another key replaces the pending rekey. `new_index` is the receiver index for the
    /// client's datagrams. `cipher` is the cipher that the server prefers.
    pub(super) fn answer(
        &mut self,
        asked: &NewKey<PUBLIC_LEN>,
        request: &[u8],
        (new_index, cipher): (u32, Cipher),
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, DropReason> {
        if let (true, Some(Rekey::Answered { message, .. })) = (self.has_answered(asked)?, &self.rekey) {
            return Ok(message.clone());
        }
        let public = PublicKey::new(&asked.kem).map_err(|_| DropReason::MalformedBody)?;
        let ephemeral = Ephemeral::new(rng);
        let dh = ephemeral.agree(&asked.pk).ok_or(DropReason::MalformedBody)?;
        let (ciphertext, shared) = public.encapsulate(rng);
        let cipher = if asked.cipher == cipher {
            cipher
        } else {
            Cipher::default()
        };
        let answer = Message::Rekeyed(NewKey {
            n: asked.n,
            index: new_index,
            cipher,
            pk: ephemeral.public(),
            kem: ciphertext,
        })
        .to_bytes();
        let chain = self.next.chain(&dh, &shared, &transcript(&[request, &answer]));
        let (keys, next) = chain.epoch(asked.n);
        let indices = Indices {
            ours: new_index,
            theirs: asked.index,
        };
        self.rekey = Some(Rekey::Answered {
            index: asked.index,
            pk: asked.pk,
            message: answer.clone(),
            epoch: Box::new(Epoch::new(self.role, cipher, &keys, indices)),
            next,
        });
        self.revision = self.revision.wrapping_add(1);
        Ok(answer)
    }

    /// Makes the answered epoch the current one.
    pub(super) fn switch(&mut self, now: Instant) {
        match self.rekey.take() {
            Some(Rekey::Answered { epoch, next, .. }) => self.enter(now, *epoch, next),
            other => self.rekey = other,
        }
    }

    fn enter(&mut self, now: Instant, epoch: Epoch, next: Next) {
        let old = core::mem::replace(&mut self.current, epoch);
        self.previous = Some((old.opener, now.saturating_add(KEEP_PREVIOUS)));
        self.next = next;
        self.number = self.number.saturating_add(1);
        self.began = now;
        self.rekey = None;
        self.revision = self.revision.wrapping_add(1);
    }

    /// Describes all keys, and the times at which they expire.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            role,
            number: _, // a counter; `next` differs from epoch to epoch
            began: _,  // read as the expiry
            current,
            next,
            previous,
            rekey,
            revision: _, // the session compares it
        } = self;
        state.flag(*role == Role::Client);
        state.deadline(Some(self.expiry()));
        current.describe(state);
        next.describe(state);
        describe::option(state, previous.as_ref(), |state, (opener, until)| {
            opener.describe(state);
            state.deadline(Some(*until));
        });
        describe::option(state, rekey.as_ref(), |state, rekey| rekey.describe(state));
    }
}

impl OpenError {
    /// The drop reason under which the datagram is counted.
    pub(super) const fn reason(self) -> DropReason {
        match self {
            Self::Malformed => DropReason::NotEnoughData,
            Self::WrongIndex => DropReason::UnknownIndex,
            Self::Replayed => DropReason::Replayed,
            Self::AuthenticationFailed => DropReason::AuthenticationFailed,
            Self::Exhausted => DropReason::KeyExhausted,
            Self::NotIp => DropReason::NotIp,
        }
    }
}

/// Prints numbers only, because the rest is keys.
impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epochs")
            .field("role", &self.role)
            .field("number", &self.number)
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}
