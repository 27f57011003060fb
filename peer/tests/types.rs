//! Behaviour of the types that every protocol and every shell share.

use core::time::Duration;

use sandhog_peer::{
    ApiMisuse, Counters, DropReason, EventKind, Instant, IpPrefix, Job, PacketBuf, StartError,
};

#[test]
fn a_packet_grows_into_its_headroom_and_tailroom_without_moving() {
    let mut buf = PacketBuf::copied_from(b"packet");
    let place = buf.as_ptr();
    buf.prepend(b"nonce");
    buf.prepend(b"c");
    buf.append(&[b't'; PacketBuf::TAILROOM]);
    assert_eq!(buf[6..].as_ptr(), place);
    assert_eq!(
        buf[..],
        [&b"cnoncepacket"[..], &[b't'; PacketBuf::TAILROOM]].concat()
    );
    buf.advance(6);
    buf.truncate(6);
    assert_eq!(buf[..], *b"packet");
    assert_eq!(buf.as_ptr(), place);
}

#[test]
fn a_header_larger_than_the_headroom_still_fits() {
    let mut buf = PacketBuf::copied_from(b"packet");
    buf.prepend(&[b'h'; 40]);
    buf.append(b"end");
    assert_eq!(buf[..], [&[b'h'; 40][..], b"packetend"].concat());
}

#[test]
fn advancing_and_truncating_stop_at_the_ends() {
    let mut buf = PacketBuf::copied_from(b"packet");
    buf.truncate(100);
    assert_eq!(buf.len(), 6);
    buf.advance(100);
    assert!(buf.is_empty());
    buf.append(b"x");
    assert_eq!(buf[..], *b"x");
}

#[test]
fn a_cleared_buffer_keeps_its_memory_and_restores_its_headroom() {
    let mut buf = PacketBuf::with_capacity(100).with_tag(5);
    buf.append(&[1; 100]);
    let place = buf.as_ptr();
    buf.advance(50);
    buf.clear();
    assert_eq!((buf.len(), buf.tag), (0, 0));
    buf.resize(100);
    assert_eq!(buf[..], [0; 100]);
    assert_eq!(buf.as_ptr(), place);
}

#[test]
fn a_default_buffer_gets_its_headroom_with_its_first_bytes() {
    for fill in [
        |buf: &mut PacketBuf| buf.append(b"packet"),
        |buf: &mut PacketBuf| buf.resize(6),
    ] {
        let mut buf = PacketBuf::default();
        fill(&mut buf);
        let place = buf.as_ptr();
        buf.prepend(&[0; PacketBuf::HEADROOM]);
        assert_eq!(buf[PacketBuf::HEADROOM..].as_ptr(), place);
    }
}

#[test]
fn a_buffer_prints_its_length_but_not_its_bytes() {
    let buf = PacketBuf::copied_from(b"secret").with_tag(7);
    assert_eq!(format!("{buf:?}"), "PacketBuf(6 bytes, tag 7)");
}

#[test]
fn instants_saturate_at_both_ends_of_time() {
    let far = Instant::FAR_FUTURE;
    assert_eq!(far + Duration::MAX, far);
    assert_eq!(Instant::from_secs(u64::MAX), far);
    assert_eq!(Instant::ZERO - Duration::MAX, Instant::ZERO);
    assert_eq!(Instant::ZERO.saturating_duration_since(far), Duration::ZERO);
    assert_eq!(
        (Instant::from_millis(1_500) + Duration::from_micros(2)).as_nanos(),
        1_500_002_000
    );
}

#[test]
fn instants_print_as_many_decimals_as_they_need() {
    let printed = |nanos| Instant::from_nanos(nanos).to_string();
    assert_eq!(printed(0), "0.000 s");
    assert_eq!(printed(1_250_000_000), "1.250 s");
    assert_eq!(printed(1_000), "0.000001 s");
    assert_eq!(printed(61_000_000_001), "61.000000001 s");
}

#[test]
fn prefixes_are_parsed_printed_and_matched() {
    let contains = |prefix: &str, address: &str| {
        prefix
            .parse::<IpPrefix>()
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(contains("10.9.0.2/24", "10.9.0.77") && !contains("10.9.0.2/24", "10.9.1.2"));
    assert!(contains("0.0.0.0/0", "255.255.255.255") && !contains("0.0.0.0/0", "::1"));
    assert!(contains("10.9.0.2", "10.9.0.2") && !contains("10.9.0.2", "10.9.0.3"));
    assert!(contains("fd00::2/64", "fd00::ffff") && !contains("fd00::2/64", "fd00:0:0:1::2"));
    assert!(contains("fd00::2", "fd00::2") && !contains("fd00::2/128", "fd00::3"));
    assert_eq!(
        "fd00::2/64".parse::<IpPrefix>().unwrap().to_string(),
        "fd00::2/64"
    );
    for bad in [
        "",
        "10.9.0",
        "10.9.0.2/33",
        "::/129",
        "10.9.0.2/",
        "10.9.0.2/-1",
        "10.9.0.2/8/8",
    ] {
        assert!(bad.parse::<IpPrefix>().is_err(), "{bad}");
    }
}

#[test]
fn every_drop_reason_has_its_own_counter_and_name() {
    let mut counters = Counters::default();
    for (n, reason) in DropReason::ALL.iter().enumerate() {
        (0..=n).for_each(|_| counters.count_drop(*reason));
    }
    let counts: Vec<u64> = counters.drops().map(|(_, count)| count).collect();
    assert_eq!(counts, (1..=DropReason::ALL.len() as u64).collect::<Vec<_>>());
    let mut names: Vec<&str> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DropReason::ALL.len());
}

#[test]
fn drops_and_counters_of_another_protocol_are_counted_by_name() {
    let mut counters = Counters::default();
    counters.count_drop(DropReason::Other("bad-checksum"));
    counters.count_drops(DropReason::Other("bad-checksum"), u64::MAX);
    counters.count_drop(DropReason::NotIp);
    counters.count_other("retransmissions", 2);
    assert_eq!(counters.dropped(DropReason::Other("bad-checksum")), u64::MAX);
    assert_eq!(counters.dropped(DropReason::Other("unknown")), 0);
    let names: Vec<_> = counters.drops().map(|(reason, _)| reason.name()).collect();
    assert_eq!(names, ["not-ip", "bad-checksum"]);
    assert_eq!(counters.others().collect::<Vec<_>>(), [("retransmissions", 2)]);
}

#[test]
fn sums_of_counters_include_those_of_another_protocol() {
    let mut one = Counters::default();
    one.count_other("retransmissions", 1);
    one.count_drop(DropReason::Other("bad-checksum"));
    let mut sum = one.clone();
    sum.add(&one);
    assert_eq!(sum.other("retransmissions"), 2);
    assert_eq!(sum.dropped(DropReason::Other("bad-checksum")), 2);
}

#[test]
fn names_of_another_protocol_are_kept() {
    assert_eq!(StartError::Other("no-licence").name(), "no-licence");
    assert_eq!(StartError::Other("no-licence").to_string(), "no-licence");
    assert_ne!(EventKind::Other("a"), EventKind::Other("b"));
    let mut names: Vec<_> = StartError::ALL.iter().map(|error| error.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), StartError::ALL.len());
}

#[test]
fn a_job_runs_a_closure_of_any_result_type() {
    let job = Job::new(3, "concatenate", || String::from("ab") + "c");
    assert_eq!(
        (job.id(), job.name(), job.text_to_save()),
        (3, "concatenate", None)
    );
    assert_eq!(format!("{job:?}"), "Job(concatenate)");
    let done = job.run();
    assert_eq!(done.result_ref::<String>().map(String::as_str), Some("abc"));
    assert_eq!(format!("{done:?}"), "JobDone(concatenate)");
    assert_eq!(done.result::<String>().as_deref(), Some("abc"));
}

#[test]
fn a_failed_job_has_no_result_and_does_not_run() {
    let job = Job::new(4, "panic", || -> u8 { panic!("a failed job must not run") }).saving("text".into());
    assert_eq!(job.text_to_save(), Some("text"));
    let done = job.fail();
    assert_eq!((done.id(), done.name()), (4, "panic"));
    assert_eq!(done.result::<u8>(), None);
}

#[test]
fn a_result_of_another_type_is_not_returned() {
    let done = Job::new(5, "number", || 7u8).run();
    assert_eq!(done.result_ref::<u16>(), None);
    assert_eq!(done.result::<u16>(), None);
}

#[test]
fn every_misuse_has_its_own_message() {
    let all = [
        ApiMisuse::AlreadyStarted,
        ApiMisuse::NotAClient,
        ApiMisuse::Unsupported,
        ApiMisuse::NotStarted,
        ApiMisuse::UnknownJob,
        ApiMisuse::NotDrained,
    ];
    let messages: std::collections::BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), all.len());
}
