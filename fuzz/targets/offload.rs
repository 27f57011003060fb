//! Packets of a TUN device with segmentation offload: the split into packets, and the merge of many.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog::offload::{Split, header};

/// Number of packets that one packet of the device can become.
const MAX_PACKETS: usize = 65_536;

fuzz_target!(|data: &[u8]| {
    let Some((bytes, packet)) = data.split_first_chunk::<{ header::LEN }>() else {
        return;
    };
    let Ok(mut split) = Split::new(&header::Header::read(bytes), packet) else {
        return;
    };
    let mut into = vec![0; 65_536];
    let mut packets = 0;
    while let Some(len) = split.next_len() {
        assert_eq!(split.next(&mut into), Some(len));
        packets += 1;
        assert!(packets <= MAX_PACKETS, "the split must end");
    }
});
