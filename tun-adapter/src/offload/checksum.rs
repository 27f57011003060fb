//! The Internet checksum (RFC 1071), added up in words of this machine's own byte order, which gives the same bytes.

/// Adds up `bytes`. Sums of parts that are even in length, but for the last, may be added to each other.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    // 128 bits make the carries of 64-bit words free, and two sums keep both halves of a processor's adder at work: three
    // times as fast as lanes of 32 bits, which is what the vector instructions that every x86-64 has allow.
    let (blocks, rest) = bytes.as_chunks::<32>();
    let (mut even, mut odd) = (0_u128, 0_u128);
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for pair in words.as_chunks::<2>().0 {
            even += u128::from(u64::from_ne_bytes(pair[0]));
            odd += u128::from(u64::from_ne_bytes(pair[1]));
        }
    }
    let total = even + odd;
    let (low, high) = (total as u64, (total >> 64) as u64);
    // 2^32 and 2^64 are 1 more than multiples of 65,535, which is what the sum is taken by.
    (low & 0xffff_ffff) + (low >> 32) + high + sum_short(rest)
}

/// Copies `from` to the front of `into`, which must be as long, and adds it up.
pub(super) fn copy_and_sum(from: &[u8], into: &mut [u8]) -> u64 {
    into.copy_from_slice(from);
    sum(into)
}

/// The sum as 16 bits, not complemented.
pub(super) const fn fold(sum: u64) -> u16 {
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// What stands before the transport header as far as its checksum is concerned (RFC 9293, section 3.1; RFC 8200, section
/// 8.1): both addresses, as they follow each other in the header; the protocol; the length of header and payload.
pub(super) fn pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> u64 {
    sum_short(addresses) + word(u16::from(protocol)) + length(len)
}

/// A length for the sum.
pub(super) fn length(len: usize) -> u64 {
    // Up to 32 bits, in two words.
    let len = len as u64;
    word((len & 0xffff) as u16) + word((len >> 16 & 0xffff) as u16)
}

/// A number for the sum.
fn word(number: u16) -> u64 {
    u64::from(number.to_be())
}

/// The same as [`sum`] for what is too short for blocks.
fn sum_short(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let whole: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    let last = match *rest {
        [a, b, c] => u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, 0])),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a] => u64::from(u16::from_ne_bytes([a, 0])),
        _ => 0,
    };
    whole + last
}
