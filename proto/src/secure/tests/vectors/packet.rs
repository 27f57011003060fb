//! Inner packets of the test vectors. The tests of erasure send the same ones.

use alloc::vec::Vec;

/// IP version and length in bytes of the inner packets, each way.
pub(crate) const PACKETS: [(u8, usize); 10] = [
    (4, 20),
    (4, 21),
    (4, 31),
    (4, 32),
    (4, 33),
    (4, 100),
    (6, 40),
    (6, 57),
    (6, 64),
    // Padded to the next multiple of 16 it would be longer than the MTU.
    (4, 1409),
];

/// An inner packet between client and server. Its header checksums are missing, because the tunnel does not
/// check them.
pub(crate) fn packet(version: u8, len: usize, is_up: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
    let ends = if is_up { [2, 1] } else { [1, 2] };
    if version == 4 {
        let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
        bytes[..12].copy_from_slice(&[0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0]);
        for (place, end) in bytes[12..20].chunks_mut(4).zip(ends) {
            place.copy_from_slice(&[10, 9, 0, end]);
        }
    } else {
        let payload_len = u8::try_from(len - 40).unwrap();
        bytes[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, payload_len, 59, 64]);
        for (place, end) in bytes[8..40].chunks_mut(16).zip(ends) {
            place.fill(0);
            (place[0], place[15]) = (0xfd, end);
        }
    }
    bytes
}
