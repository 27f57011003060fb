//! The codec of the classic profile: whole datagrams, and any body behind a valid tag.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog_proto::{
    PacketBuf,
    classic::{Code, Codec, Key},
};

fuzz_target!(|data: &[u8]| {
    let mut codec: Codec = Codec::new(&Key::new([7; 32]), [1; 32], 0);
    let _ = codec.decode(&mut PacketBuf::copied_from(data));
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let Some(code) = Code::from_byte(*first) else {
        return;
    };
    let mut datagram = PacketBuf::copied_from(body);
    if codec.seal(code, &mut datagram).is_ok() {
        assert_eq!(codec.open(&mut PacketBuf::copied_from(&datagram)), Ok(code));
        let _ = codec.decode(&mut datagram);
    }
});
