//! Secrets from the environment and from systemd credentials, and their precedence.

use std::process::Output;

use crate::support::{Folder, KEY, command, server_key_line, text};

const CLIENT: &str = concat!(
    "server = \"127.0.0.1:9\"\nkey-file = \"credential:sandhog.key\"\nlogin = \"kean\"\n",
    server_key_line!()
);

/// A client's file, and a folder of credentials next to it.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("client.toml", CLIENT);
    folder.write("sandhog.key", KEY);
    folder
}

/// `sandhog check client.toml` in this environment.
fn check(folder: &Folder, environment: &[(&str, &str)]) -> Output {
    let mut check = command(&["check", &folder.name("client.toml")]);
    check
        .env_remove("CREDENTIALS_DIRECTORY")
        .env_remove("SANDHOG_PASSWORD");
    check.envs(environment.iter().copied());
    check.output().expect("the program ends")
}

#[track_caller]
fn check_error(output: &Output, folder: &Folder, expected: &str) {
    assert_eq!(folder.strip(&text(&output.stderr)), expected);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_can_be_a_credential_of_the_service_manager() {
    let folder = folder();
    let credentials = folder.name("");
    let output = check(&folder, &[("CREDENTIALS_DIRECTORY", &credentials)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_missing_credential_is_reported_with_its_position() {
    let folder = folder();
    check_error(
        &check(&folder, &[]),
        &folder,
        "error: client.toml:2:12: key-file: there is no credential `sandhog.key`: CREDENTIALS_DIRECTORY is not set \
         (systemd sets it for units with `LoadCredential=`)\n",
    );
    std::fs::remove_file(folder.path("sandhog.key")).expect("a file of the test");
    let credentials = folder.name("");
    check_error(
        &check(&folder, &[("CREDENTIALS_DIRECTORY", &credentials)]),
        &folder,
        "error: client.toml:2:12: key-file: cannot read sandhog.key: No such file or directory (os error 2)\n",
    );
}

#[test]
fn the_environment_precedes_the_file_and_the_file_precedes_the_credential() {
    let folder = folder();
    let credentials = folder.name("");
    let credentials = ("CREDENTIALS_DIRECTORY", credentials.as_str());
    // The error for an empty password shows its source.
    folder.write("sandhog.password", "\n");
    check_error(
        &check(&folder, &[credentials]),
        &folder,
        "error: sandhog.password:1:1: the password is empty\n",
    );
    folder.write("client.toml", &format!("{CLIENT}password-file = \"password\"\n"));
    folder.write("password", "\n");
    check_error(
        &check(&folder, &[credentials]),
        &folder,
        "error: password:1:1: the password is empty\n",
    );
    check_error(
        &check(&folder, &[credentials, ("SANDHOG_PASSWORD", "")]),
        &folder,
        "error: SANDHOG_PASSWORD: the password is empty\n",
    );
    let output = check(&folder, &[credentials, ("SANDHOG_PASSWORD", "correct horse")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_classic_profile_also_accepts_a_password_from_the_environment() {
    let folder = folder();
    let classic = "profile = \"classic\"\nserver = \"127.0.0.1:9\"\nkey-file = \"sandhog.key\"\nlogin = \"kean\"\n\
                   [device]\naddresses = [\"10.9.0.2/24\"]\n";
    folder.write("client.toml", classic);
    let output = check(&folder, &[("SANDHOG_PASSWORD", "correct horse")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    check_error(
        &check(&folder, &[]),
        &folder,
        "error: client.toml:1:1: missing key `password-file` (or `password`)\n",
    );
}
