//! Test of a failure, exactly as `shrink` writes it.

#[test]
// Remove this line once the failure is repaired.
#[should_panic(expected = "P9 ping passes with faults off")]
fn this_tape_does_not_break_p9_ping_passes_with_faults_off() {
    use sandhog_lab::replay::replay;
    use sandhog_lab::search::Failure;
    use sandhog_lab::tape::Tape;
    use sandhog_sim::{RunOptions, Scenario};

    const SCENARIO: &str = r#"title = "alice→server data #1: rebind alice to 198.51.100.2:50001 makes P9 fail: alice: no ping passed within 10.000 s"
profile = "classic"
duration = "10s"
server = [{ name = "server", address = "192.0.2.1:4000", inner = ["10.9.0.1/24"], user = [{ login = "alice", password = "correct horse", addresses = ["10.9.0.2"] }] }]
client = [{ name = "alice", address = "198.51.100.2:50000", inner = ["10.9.0.2/24"], server = "server", login = "alice", password = "correct horse" }]
"#;
    const TAPE: &str = r#"sandhog tape 1
scenario scenario
seed 1
alice→server data #1 @ 3ms: rebind alice to 198.51.100.2:50001
end
"#;
    let read = |_: &str| Err("there are no files".into());
    let scenario = Scenario::parse("scenario.toml", SCENARIO, &read).unwrap();
    let tape: Tape = TAPE.parse().unwrap();
    let replayed = replay(&scenario.setup(), &tape, &RunOptions::default());
    if let Some(failure) = Failure::of(&replayed.unwrap().run) {
        panic!("{failure}");
    }
}
