//! Figures of one peer and their median.

/// What came out of one peer's turns.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Bits per second from client to server, one flow of TCP.
    pub(super) up: Vec<f64>,
    /// From server to client.
    pub(super) down: Vec<f64>,
    /// Four flows from client to server.
    pub(super) four: Vec<f64>,
    /// Processor time of the whole machine in nanoseconds, for each byte of `up`.
    pub(super) cost: Vec<f64>,
    /// Datagrams of 64 bytes that arrive in a second when as many are sent as the sender can.
    pub(super) datagrams: Vec<f64>,
    /// Median time of a ping and its answer in each batch, in microseconds.
    pub(super) ping: Vec<f64>,
    /// Share of one processor, in percent, that each daemon takes while nothing is sent.
    pub(super) idle: Vec<f64>,
    /// Resident memory of each daemon after all that, in bytes.
    pub(super) resident: Vec<u64>,
}

/// The middle of the values; the lower one of two.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_the_lower_of_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
