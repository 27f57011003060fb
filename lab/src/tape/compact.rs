//! Compact form of a tape for links: bytes in base64url (RFC 4648, section 5) without padding.
//!
//! The bytes are: version, seed, the name of the setup, a table of names and kinds, the entries, and the first 4 bytes of the
//! SHA-256 of everything before. Numbers are in LEB128. A text is its length and its bytes.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sandhog_peer::Instant;
use sha2::{Digest as _, Sha256};

use super::text::{VERSION, newer};
use super::{Address, Entry, Fault, Tape};

/// Length of the checksum in bytes.
const CHECKSUM_LEN: usize = 4;

/// Largest number of entries of a compact tape. A longer one is not for a link.
const MAX_ENTRIES: u64 = 100_000;

/// A mistake in the compact form of a tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactError(String);

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for CompactError {}

impl Tape {
    /// The compact form. 50 faults take fewer than 2,000 characters.
    #[must_use]
    pub fn to_compact(&self) -> String {
        let mut writer = Writer::default();
        writer.number(VERSION);
        writer.number(self.seed);
        writer.text(&self.setup);
        let table = self.table();
        writer.number(table.len() as u64);
        table.keys().for_each(|text| writer.text(text));
        let places: BTreeMap<&str, u64> = table.into_keys().zip(0..).collect();
        writer.number(self.entries.len() as u64);
        for entry in &self.entries {
            writer.entry(entry, &places);
        }
        let checksum = Sha256::digest(&writer.0);
        writer.0.extend(&checksum[..CHECKSUM_LEN]);
        URL_SAFE_NO_PAD.encode(writer.0)
    }

    /// The texts of the entries, in order.
    fn table(&self) -> BTreeMap<&str, ()> {
        let mut table = BTreeMap::new();
        for Entry { datagrams, fault, .. } in &self.entries {
            for text in [&datagrams.sender, &datagrams.receiver, &datagrams.kind] {
                table.insert(text.as_str(), ());
            }
            if let Fault::Rebind { host, .. } | Fault::Crash { host, .. } = fault {
                table.insert(host, ());
            }
        }
        table
    }

    /// Reads the compact form.
    ///
    /// # Errors
    ///
    /// The text is cut or changed, has a newer version, or is no tape.
    pub fn from_compact(text: &str) -> Result<Self, CompactError> {
        let fail = |message: &str| CompactError(message.into());
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| {
            fail("the compact tape contains a character that is not base64url, or is cut; copy it again")
        })?;
        let split = bytes.len().checked_sub(CHECKSUM_LEN);
        let (content, checksum) = split
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or_else(|| fail("the compact tape is cut; copy it again"))?;
        let mut reader = Reader(content);
        match reader.number() {
            Some(VERSION) => {}
            Some(version) if version > VERSION && version < 1 << 16 => {
                return Err(CompactError(newer(version)));
            }
            _ => {
                return Err(fail(
                    "this is not a compact tape, and there is no file with this name",
                ));
            }
        }
        if Sha256::digest(content)[..CHECKSUM_LEN] != *checksum {
            return Err(fail(
                "the checksum of the compact tape is wrong; it is cut or changed, so copy it again",
            ));
        }
        reader
            .tape()
            .ok_or_else(|| fail("the compact tape has an unknown fault or a missing field"))
    }
}

/// The bytes of a tape.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn time(&mut self, time: Duration) {
        self.number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn instant(&mut self, at: Instant) {
        self.time(at.saturating_duration_since(Instant::ZERO));
    }

    fn entry(&mut self, entry: &Entry, places: &BTreeMap<&str, u64>) {
        let place = |text: &str| places.get(text).copied().unwrap_or_default();
        let address = &entry.datagrams;
        for text in [&address.sender, &address.receiver, &address.kind] {
            self.number(place(text));
        }
        self.number(address.nth << 2 | u64::from(address.onwards) << 1 | u64::from(entry.sent_at.is_some()));
        if let Some(at) = entry.sent_at {
            self.instant(at);
        }
        match &entry.fault {
            Fault::Drop => self.number(0),
            Fault::Double => self.number(1),
            Fault::Swap => self.number(2),
            Fault::Delay(time) => {
                self.number(3);
                self.time(*time);
            }
            Fault::DelayCopy(time) => {
                self.number(4);
                self.time(*time);
            }
            Fault::Late(time) => {
                self.number(5);
                self.time(*time);
            }
            Fault::Hold(until) => {
                self.number(6);
                self.instant(*until);
            }
            Fault::Flip(bit) => {
                self.number(7);
                self.number(*bit);
            }
            Fault::FlipCopy(bit) => {
                self.number(8);
                self.number(*bit);
            }
            Fault::Rebind { host, to } => {
                self.number(9);
                self.number(place(host));
                self.text(&to.to_string());
            }
            Fault::Crash { host, down } => {
                self.number(10);
                self.number(place(host));
                self.time(*down);
            }
        }
    }
}

/// The rest of the bytes of a tape. Each method returns `None` at a missing or wrong value.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn tape(&mut self) -> Option<Tape> {
        let seed = self.number()?;
        let setup = self.text()?;
        let count = self.number().filter(|count| *count <= MAX_ENTRIES)?;
        let table: Option<Vec<String>> = (0..count).map(|_| self.text()).collect();
        let table = table?;
        let count = self.number().filter(|count| *count <= MAX_ENTRIES)?;
        let entries: Option<Vec<Entry>> = (0..count).map(|_| self.entry(&table)).collect();
        let tape = Tape {
            setup,
            seed,
            entries: entries?,
        };
        self.0.is_empty().then_some(tape)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(first & 0x7f).checked_shl(shift)?;
            if first & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn time(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_nanos)
    }

    fn instant(&mut self) -> Option<Instant> {
        self.number().map(Instant::from_nanos)
    }

    fn place(&mut self, table: &[String]) -> Option<String> {
        table.get(usize::try_from(self.number()?).ok()?).cloned()
    }

    fn entry(&mut self, table: &[String]) -> Option<Entry> {
        let sender = self.place(table)?;
        let receiver = self.place(table)?;
        let kind = self.place(table)?;
        let packed = self.number()?;
        let sent_at = match packed & 1 {
            0 => None,
            _ => Some(self.instant()?),
        };
        let datagrams = Address {
            sender,
            receiver,
            kind,
            nth: Some(packed >> 2).filter(|nth| *nth > 0)?,
            onwards: packed & 2 != 0,
        };
        let fault = match self.number()? {
            0 => Fault::Drop,
            1 => Fault::Double,
            2 => Fault::Swap,
            3 => Fault::Delay(self.time()?),
            4 => Fault::DelayCopy(self.time()?),
            5 => Fault::Late(self.time()?),
            6 => Fault::Hold(self.instant()?),
            7 => Fault::Flip(self.number()?),
            8 => Fault::FlipCopy(self.number()?),
            9 => Fault::Rebind {
                host: self.place(table)?,
                to: self.text()?.parse().ok()?,
            },
            10 => Fault::Crash {
                host: self.place(table)?,
                down: self.time()?,
            },
            _ => return None,
        };
        Some(Entry {
            datagrams,
            sent_at,
            fault,
        })
    }
}
