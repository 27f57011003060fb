//! Figures of one peer and their median.

/// Results of one peer in all turns.
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
    /// Datagrams of 64 bytes that arrive per second at the highest rate of the sender.
    pub(super) datagrams: Vec<f64>,
    /// Median round-trip time of each batch of pings, in microseconds.
    pub(super) ping: Vec<f64>,
    /// Processor use of each daemon while nothing is sent, in percent of one processor.
    pub(super) idle: Vec<f64>,
    /// Resident memory of each daemon at the end, in bytes.
    pub(super) resident: Vec<u64>,
}

/// The median; of an even number of values, the lower one of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_values_is_the_lower_middle_one() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
