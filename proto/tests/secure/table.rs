//! Table of attacks in `SECURITY.md`: 30 rows, and every named test exists.

const PAGE: &str = include_str!("../../../SECURITY.md");

const FILES: [(&str, &str); 8] = [
    ("attack_flood", include_str!("attack_flood.rs")),
    ("attack_input", include_str!("attack_input.rs")),
    ("attack_keys", include_str!("attack_keys.rs")),
    ("attack_login", include_str!("attack_login.rs")),
    ("attack_nonces", include_str!("attack_nonces.rs")),
    ("attack_replay", include_str!("attack_replay.rs")),
    ("attack_server", include_str!("attack_server.rs")),
    ("session_limits", include_str!("session_limits.rs")),
];

const INSIDE: [(&str, &str); 4] = [
    ("cipher", include_str!("../../src/secure/session/tests/cipher.rs")),
    ("erased", include_str!("../erased/main.rs")),
    (
        "forward_secrecy",
        include_str!("../../src/secure/session/tests/forward_secrecy.rs"),
    ),
    (
        "no_seed_in_state",
        include_str!("../../src/secure/tests/no_seed_in_state.rs"),
    ),
];

#[test]
fn each_row_of_the_table_names_existing_tests_for_that_row() {
    let rows = PAGE.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
        Some((number.parse::<u32>().ok()?, rest))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(
        rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        (1..=30).collect::<Vec<_>>()
    );
    for (number, row) in rows {
        let tests: Vec<_> = row.split('`').filter_map(|word| word.split_once("::")).collect();
        assert!(!tests.is_empty(), "row {number} names no test");
        for (file, name) in tests {
            let mut files = FILES.iter().chain(&INSIDE);
            let (_, text) = files
                .find(|(known, _)| *known == file)
                .unwrap_or_else(|| panic!("no file {file}"));
            let (before, _) = text
                .split_once(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("row {number}: {file} has no {name}"));
            let doc = before.rsplit("/// Attack ").next().unwrap();
            assert!(
                doc.starts_with(&format!("{number}: ")),
                "row {number}: {name} is for another row"
            );
        }
    }
}
