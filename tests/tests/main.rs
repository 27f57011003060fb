//! The one integration test binary: what crosses crates. `README.md` beside `Cargo.toml` tells what is where.

/// One test for each built-in scenario, named after it, that calls `$check` with the scenario's name.
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
        fn no_scenario_is_forgotten() {
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
