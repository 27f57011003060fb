//! The keys of a session, epoch after epoch: which are in use, which are coming, which are going.

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
use crate::mutant::{Mutant, planted};
use crate::{DropReason, Instant, PacketBuf};

/// How long the keys of an epoch are good for.
pub const REJECT_AFTER: Duration = Duration::from_secs(180);
/// How long what was sealed before a rekey is still opened after it.
pub const KEEP_PREVIOUS: Duration = Duration::from_secs(10);

/// Which end of the tunnel this is: the client seals with the keys that the server opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// The receiver indices of one epoch: what the other side puts into nonces, and what this side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indices {
    /// Chosen by this side, found in what it receives.
    pub(super) ours: u32,
    /// Chosen by the other side.
    pub(super) theirs: u32,
}

/// The two handles of one epoch. A data plane may hold them as well.
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
}

/// A rekey that is under way.
enum Rekey {
    /// The client has asked.
    Asked {
        index: u32,
        cipher: Cipher,
        ephemeral: Ephemeral,
        json: Vec<u8>,
    },
    /// The server has answered, and opens under the next epoch, but does not seal under it before the client has.
    Answered {
        index: u32,
        pk: [u8; 32],
        json: Vec<u8>,
        epoch: Box<Epoch>,
        next: Next,
    },
}

/// All epochs of a session that still matter.
pub(super) struct Epochs {
    role: Role,
    number: u32,
    began: Instant,
    current: Epoch,
    /// Secret from which the next epoch grows.
    next: Next,
    previous: Option<(Arc<Opener>, Instant)>,
    rekey: Option<Rekey>,
    /// Changes with the handles.
    revision: u32,
}

/// What a datagram has shown that was opened.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Its counter is above every earlier one, in the newest epoch: the peer is where it came from.
    pub(super) newest: bool,
    /// It was the first one under the next epoch, which is the current one now.
    pub(super) switched: bool,
}

impl Epochs {
    /// Epoch 0, from the keys of a login. Its cipher is the one that everybody has.
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

    /// Changes whenever there is another handle to seal or to open with, or one less.
    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    /// The number of the epoch that is sealed under.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The cipher that is sealed with.
    pub(super) fn cipher(&self) -> Cipher {
        self.current.sealer.cipher()
    }

    /// Since when the present keys are used.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// When the present keys become too old to be used.
    pub(super) fn expiry(&self) -> Instant {
        let after = if planted(Mutant::KeysForEver) {
            Duration::MAX
        } else {
            REJECT_AFTER
        };
        self.began.saturating_add(after)
    }

    /// Whether the present keys are too old to be used.
    pub(super) fn are_expired(&self, now: Instant) -> bool {
        now >= self.expiry()
    }

    /// Whether one of the present keys has sealed so much that it must be changed.
    pub(super) fn are_worn(&self) -> bool {
        self.current.sealer.is_worn() || self.current.opener.is_worn()
    }

    /// Whether a rekey waits for its answer (client).
    pub(super) const fn is_asking(&self) -> bool {
        matches!(self.rekey, Some(Rekey::Asked { .. }))
    }

    /// The indices under which datagrams are opened: previous, current, next.
    pub(super) fn open_indices(&self) -> [Option<u32>; 3] {
        let next = match &self.rekey {
            Some(Rekey::Answered { epoch, .. }) => Some(epoch.opener.index()),
            Some(Rekey::Asked { index, .. }) => Some(*index),
            None => None,
        };
        let previous = self.previous.as_ref().map(|(opener, _)| opener.index());
        [previous, Some(self.current.opener.index()), next]
    }

    /// When the previous key is forgotten.
    pub(super) fn previous_until(&self) -> Option<Instant> {
        self.previous.as_ref().map(|(_, until)| *until)
    }

    /// Forgets the previous key if its time is over.
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

    /// The handle to open with, once something has been sealed under the present keys of the other side.
    pub(super) const fn opener(&self) -> &Arc<Opener> {
        &self.current.opener
    }

    /// The handle for what was sealed before the last change of keys, with the end of its time.
    pub(super) const fn previous_opener(&self) -> Option<&(Arc<Opener>, Instant)> {
        self.previous.as_ref()
    }

    /// The handle for what will be sealed after the next change of keys (server).
    pub(super) fn next_opener(&self) -> Option<&Arc<Opener>> {
        match &self.rekey {
            Some(Rekey::Answered { epoch, .. }) => Some(&epoch.opener),
            Some(Rekey::Asked { .. }) | None => None,
        }
    }

    /// Takes note of a datagram that was opened elsewhere, under the key of this index.
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

    /// Opens a datagram where it lies, under whichever of the epochs its index belongs to.
    pub(super) fn open(&mut self, now: Instant, buf: &mut PacketBuf) -> Result<(Opened, Seen), DropReason> {
        self.forget_previous(now);
        let (index, _) = session_header(buf).ok_or(DropReason::NotEnoughData)?;
        // The session is over, whether or not a timer has said so yet: no other epoch brings it back.
        if self.are_expired(now) {
            return Err(DropReason::KeyExpired);
        }
        if let Some((opener, _)) = self
            .previous
            .as_ref()
            .filter(|(opener, _)| opener.index() == index)
        {
            let opened = opener.open(buf).map_err(OpenError::reason)?;
            let newest = opened.newest && planted(Mutant::RoamByOldEpoch);
            let switched = false;
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

    /// The client's request for the next epoch: the same while it is unanswered. `index` is what the server shall put
    /// into its nonces then, `cipher` what the client would like.
    pub(super) fn ask(&mut self, index: u32, cipher: Cipher, rng: &mut (impl RngCore + CryptoRng)) -> &[u8] {
        if !self.is_asking() {
            let ephemeral = Ephemeral::new(rng);
            let json = Message::Rekey(NewKey {
                n: self.number.saturating_add(1),
                index,
                pk: ephemeral.public(),
                cipher,
            })
            .to_json();
            self.rekey = Some(Rekey::Asked {
                index,
                cipher,
                ephemeral,
                json,
            });
        }
        match &self.rekey {
            Some(Rekey::Asked { json, .. } | Rekey::Answered { json, .. }) => json,
            None => &[],
        }
    }

    /// Takes the server's answer (client): the next epoch is the current one then.
    pub(super) fn answered(&mut self, now: Instant, new: &NewKey, json: &[u8]) -> Result<(), DropReason> {
        if Some(new.n) != self.number.checked_add(1) {
            return Err(DropReason::Unexpected);
        }
        let Some(Rekey::Asked {
            index: ours,
            cipher: wish,
            ephemeral,
            json: asked,
        }) = &self.rekey
        else {
            return Err(DropReason::Unexpected);
        };
        // The server grants the wish or stays with what everybody has.
        if ![*wish, Cipher::default()].contains(&new.cipher) && !planted(Mutant::AnyCipherTaken) {
            return Err(DropReason::Unexpected);
        }
        let indices = Indices {
            ours: *ours,
            theirs: new.index,
        };
        let dh = ephemeral.agree(&new.pk).ok_or(DropReason::MalformedBody)?;
        let (keys, next) = self.next.chain(&dh, &transcript(asked, json)).epoch(new.n);
        let epoch = Epoch::new(self.role, new.cipher, &keys, indices);
        self.enter(now, epoch, next);
        Ok(())
    }

    /// Takes the client's request (server) and gives the answer: the same one to the same request.
    ///
    /// Another key replaces the rekey that is pending. `new_index` is what the client shall put into its nonces, `cipher`
    /// what the server would like.
    pub(super) fn answer(
        &mut self,
        asked: &NewKey,
        json: &[u8],
        (new_index, cipher): (u32, Cipher),
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, DropReason> {
        if Some(asked.n) != self.number.checked_add(1) && !planted(Mutant::RekeyOfAnyNumber) {
            return Err(DropReason::Unexpected);
        }
        if let Some(Rekey::Answered {
            index,
            pk: asked_pk,
            json,
            ..
        }) = &self.rekey
            && *index == asked.index
            && *asked_pk == asked.pk
            && !planted(Mutant::RekeyAnsweredAnew)
        {
            return Ok(json.clone());
        }
        let ephemeral = Ephemeral::new(rng);
        let dh = ephemeral.agree(&asked.pk).ok_or(DropReason::MalformedBody)?;
        let cipher = if asked.cipher == cipher {
            cipher
        } else {
            Cipher::default()
        };
        let answer = Message::Rekeyed(NewKey {
            n: asked.n,
            index: new_index,
            pk: ephemeral.public(),
            cipher,
        })
        .to_json();
        let (keys, next) = self.next.chain(&dh, &transcript(json, &answer)).epoch(asked.n);
        let indices = Indices {
            ours: new_index,
            theirs: asked.index,
        };
        self.rekey = Some(Rekey::Answered {
            index: asked.index,
            pk: asked.pk,
            json: answer.clone(),
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
        let keep = if planted(Mutant::PreviousKeyForEver) {
            Duration::MAX
        } else {
            KEEP_PREVIOUS
        };
        self.previous = Some((old.opener, now.saturating_add(keep)));
        self.next = next;
        self.number = self.number.saturating_add(1);
        self.began = now;
        self.rekey = None;
        self.revision = self.revision.wrapping_add(1);
    }
}

impl OpenError {
    /// Under which reason the datagram is counted.
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

/// Numbers only: the rest is keys.
impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epochs")
            .field("role", &self.role)
            .field("number", &self.number)
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}
