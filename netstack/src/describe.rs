//! Description of the state of a host, for a search that visits equal states only once.

use alloc::format;
use core::fmt::Display;
use core::net::IpAddr;
use core::time::Duration;

/// Receiver of the parts of a description. Absolute times are described as times from `now`.
pub(crate) struct Description<'a> {
    now: Duration,
    sink: &'a mut dyn FnMut(u64),
}

impl<'a> Description<'a> {
    pub(crate) fn new(now: Duration, sink: &'a mut dyn FnMut(u64)) -> Self {
        Self { now, sink }
    }

    pub(crate) fn number(&mut self, number: u64) {
        (self.sink)(number);
    }

    pub(crate) fn len(&mut self, len: usize) {
        self.number(len as u64);
    }

    pub(crate) fn duration(&mut self, time: Duration) {
        self.number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds a time in the future as the time from now. Times in the past are all equal.
    pub(crate) fn deadline(&mut self, at: Duration) {
        self.duration(at.saturating_sub(self.now));
    }

    /// Adds a time in the past as the time until now.
    pub(crate) fn age(&mut self, since: Duration) {
        self.duration(self.now.saturating_sub(since));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        for chunk in bytes.chunks(8) {
            self.number(
                chunk
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte)),
            );
        }
    }

    /// Adds the text of a value.
    pub(crate) fn text(&mut self, value: impl Display) {
        self.bytes(format!("{value}").as_bytes());
    }

    pub(crate) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.bytes(&address.octets()),
            IpAddr::V6(address) => self.bytes(&address.octets()),
        }
    }
}
