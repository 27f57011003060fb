//! Silence: strangers get no byte for recorded, late or invented datagrams (goal of P14).

use sandhog_lab::record::RecordKind;
use sandhog_sim::Run;

use crate::support::{MALLORY, SERVER, run_builtin};

/// The kinds of the datagrams of mallory that arrived at the server, and the answers to them.
fn arrived_and_answered(run: &Run) -> (usize, Vec<&'static str>) {
    let attacks: Vec<u64> = run
        .records
        .iter()
        .filter(|record| record.host == Some(SERVER))
        .filter(|record| matches!(record.kind, RecordKind::Received { from: MALLORY, .. }))
        .map(|record| record.id)
        .collect();
    let answers = run.records.iter().filter_map(|record| match record.kind {
        RecordKind::Sent { kind, .. } if attacks.contains(&record.cause) => Some(kind),
        _ => None,
    });
    (attacks.len(), answers.collect())
}

#[test]
fn recorded_messages_of_a_login_get_no_answer_also_after_a_restart() {
    for seed in 0..5 {
        let run = run_builtin("recorded-logins", seed);
        assert!(run.passed, "seed {seed}: {:?}", run.checks);
        let (arrived, answered) = arrived_and_answered(&run);
        assert!(arrived > 900, "seed {seed}: {arrived}");
        assert_eq!(answered, Vec::<&str>::new(), "seed {seed}");
    }
}
