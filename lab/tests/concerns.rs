//! Independence of the faults of a link: an added fault changes no random decision of another fault.

use std::collections::BTreeMap;
use std::time::Duration;

use sandhog_lab::Pick;
use sandhog_lab::link::{Copy, Fate, LinkConfig, LinkDirection};
use sandhog_peer::Instant;

/// The faults of a link, each alone.
const FAULTS: [&str; 6] = [
    "loss 30%",
    "loss 30% 40%",
    "duplicate 30%",
    "corrupt 30%",
    "delay 30ms 10ms",
    "delay 30ms 10ms 25%",
];

/// Copies of the datagrams that arrived, by number of the datagram and of the copy.
fn copies(config: &LinkConfig, partitioned: std::ops::Range<u64>) -> BTreeMap<(u64, usize), Copy> {
    let mut link = LinkDirection::new(config.clone(), 7, 0, 1);
    let mut found = BTreeMap::new();
    for number in 0..1000 {
        link.set_partitioned(partitioned.contains(&number));
        if let (_, Fate::Copies(copies)) = link.decide(Instant::ZERO, "data", 128, 100) {
            for (position, copy) in copies.into_iter().enumerate() {
                found.extend(copy.map(|copy| ((number, position), copy.unwrap())));
            }
        }
    }
    found
}

fn parse(text: &str) -> LinkConfig {
    text.parse().unwrap()
}

/// The copies that arrive in both cases are equal in this property.
#[track_caller]
fn assert_equal<T: PartialEq + std::fmt::Debug>(
    before: &BTreeMap<(u64, usize), Copy>,
    after: &BTreeMap<(u64, usize), Copy>,
    property: impl Fn(&Copy) -> T,
    case: &str,
) {
    let mut common = 0;
    for (key, copy) in before {
        if let Some(other) = after.get(key) {
            common += 1;
            assert_eq!(property(copy), property(other), "{case}: copy {key:?}");
        }
    }
    assert!(common > 100, "{case}: {common} copies in both runs");
}

#[test]
fn a_fault_that_is_added_to_another_one_changes_none_of_its_decisions() {
    for first in FAULTS {
        for second in FAULTS {
            let word = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
            if word(first) == word(second) {
                continue;
            }
            let alone = copies(&parse(first), 0..0);
            let both = copies(&parse(&format!("{first}, {second}")), 0..0);
            let case = format!("{second} added to {first}");
            if word(first) == "delay" {
                assert_equal(&alone, &both, |copy| copy.after, &case);
            }
            if word(first) == "corrupt" {
                assert_equal(&alone, &both, |copy| copy.flipped_bit, &case);
            }
            if word(first) == "duplicate" && word(second) != "loss" {
                assert_eq!(
                    alone.keys().collect::<Vec<_>>(),
                    both.keys().collect::<Vec<_>>(),
                    "{case}"
                );
            }
            if word(first) == "loss" && word(second) != "duplicate" {
                assert_eq!(
                    alone.keys().collect::<Vec<_>>(),
                    both.keys().collect::<Vec<_>>(),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn a_scripted_drop_changes_no_random_decision_about_other_datagrams() {
    let config = parse("delay 30ms 10ms, duplicate 20%, corrupt 20%, loss 20%");
    let drop = Pick {
        from: None,
        nth: Some(10),
        kind: Some("data".into()),
        ..Pick::default()
    };
    let dropping = LinkConfig {
        drop: vec![drop],
        ..config.clone()
    };
    let [before, after] = [&config, &dropping].map(|config| copies(config, 0..0));
    assert_equal(&before, &after, |copy| *copy, "drop");
    assert!(before.contains_key(&(9, 0)) && !after.contains_key(&(9, 0)));
}

#[test]
fn a_partition_changes_no_random_decision_about_other_datagrams() {
    let config = parse("delay 30ms 10ms 20%, duplicate 20%, corrupt 20%, loss 20%");
    assert_equal(
        &copies(&config, 0..0),
        &copies(&config, 100..300),
        |copy| *copy,
        "partition",
    );
}

#[test]
fn a_datagram_above_the_mtu_changes_no_random_decision_about_others() {
    let delays = |len: u64| -> Vec<Duration> {
        let mut link = LinkDirection::new(parse("delay 30ms 10ms, mtu 1280"), 7, 0, 1);
        let mut delays = Vec::new();
        for number in 0..200 {
            let len = if number % 2 == 0 { len } else { 128 };
            if let (_, Fate::Copies([Some(Ok(copy)), _])) = link.decide(Instant::ZERO, "data", len, 100)
                && number % 2 == 1
            {
                delays.push(copy.after);
            }
        }
        delays
    };
    assert_eq!(delays(128), delays(1400));
}
