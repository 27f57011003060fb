//! Integration tests of several crates. `README.md` next to `Cargo.toml` describes the modules.

/// Defines one test for each built-in scenario, which calls `$check` with the scenario's name.
macro_rules! for_every_scenario {
    ($check:path) => {
        crate::for_every_scenario! { $check:
            first_light "first-light",
            clean_login "clean-login",
            standard "standard",
            lossy_login "lossy-login",
            reordered "reordered",
            late_answer "late-answer",
            auth_timeout "auth-timeout",
            wrong_password "wrong-password",
            bulk "bulk",
            ipv6_inside "ipv6-inside",
            long_rtt "long-rtt",
            crazy_rtt "crazy-rtt",
            drop_each_datagram "drop-each-datagram",
            handshake_corrupt_30 "handshake-corrupt-30",
            handshake_dup "handshake-dup",
            handshake_reorder "handshake-reorder",
            handshake_ping_pong "handshake-ping-pong",
            unknown_user "unknown-user",
            user_guess_flood "user-guess-flood",
            password_changed_mid_session "password-changed-mid-session",
            password_change "password-change",
            simultaneous_init "simultaneous-init",
            init_flood_spoofed "init-flood-spoofed",
            amplification "amplification",
            recorded_logins "recorded-logins",
            rebind_port "rebind-port",
            rebind_addr "rebind-addr",
            path_mtu "path-mtu",
            cipher_change "cipher-change",
            reconnect "reconnect",
            classic_first_light "classic-first-light",
            classic_clean_login "classic-clean-login",
            classic_auth_timeout "classic-auth-timeout",
            classic_wrong_password "classic-wrong-password",
        }
    };
    ($check:path: $($test:ident $name:literal,)*) => {
        $(#[test]
        fn $test() {
            $check($name);
        })*

        #[test]
        fn every_built_in_scenario_has_a_test() {
            assert_eq!([$($name),*].as_slice(), sandhog_tests::names().collect::<Vec<_>>());
        }
    };
}
use for_every_scenario;

mod equality;
mod mesh;
#[cfg(target_os = "linux")]
mod netns;
mod stories;
#[cfg(not(target_family = "wasm"))]
mod tidy;
