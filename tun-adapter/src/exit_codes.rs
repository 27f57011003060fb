//! Exit codes of the commands and their meanings, for help texts and manual pages.

/// The exit codes and their meanings, in the order of `failure::Exit`.
pub(crate) const EXIT_CODES: [(u8, &str); 6] = [
    (0, "success; also after a stop by SIGTERM or SIGINT"),
    (
        1,
        "local problem (permissions, port, device, route, disk), or no tunnel runs",
    ),
    (
        2,
        "bad command line, configuration or user, or an unreadable file",
    ),
    (
        3,
        "the server rejected the login, has no free address for the user, or is another server",
    ),
    (4, "the server did not answer in time"),
    (5, "the session moved to another device of the same user"),
];

/// Meanings of single exit codes that a command states more exactly than [`EXIT_CODES`]: command, code, meaning.
const EXACT_CODES: [(&str, u8, &str); 17] = [
    (
        "init",
        1,
        "the folder or a file cannot be created; nothing remains",
    ),
    ("init", 2, "bad command line, or one of the files exists"),
    ("user", 1, "the file with the users cannot be locked or written"),
    ("user", 2, "bad command line, configuration, user or password"),
    ("down", 0, "the tunnel is stopped and its changes are undone"),
    (
        "down",
        1,
        "the process did not stop, or a change cannot be undone",
    ),
    ("check", 0, "the file is valid"),
    ("check", 1, "local problem"),
    ("doctor", 0, "a tunnel can run; there may be warnings"),
    ("doctor", 1, "a problem prevents a tunnel"),
    ("status", 0, "a tunnel is running"),
    ("status", 1, "no tunnel is running, or a tunnel does not reply"),
    ("reload", 0, "the servers use the present users and keys"),
    ("reload", 1, "no server is running, or a server does not reply"),
    (
        "reload",
        2,
        "bad command line, or a file with users or keys has an error",
    ),
    ("forget", 0, "the tunnels have forgotten all sessions"),
    (
        "forget",
        1,
        "no tunnel is running, a tunnel does not reply, or one has the classic profile",
    ),
];

/// The exit codes of a command, for example `user add`. The name of the program itself is empty. Only a command that logs in
/// has codes above 2.
pub(crate) fn exit_codes(command: &str) -> Vec<(u8, &'static str)> {
    let logs_in = ["", "client", "passwd"].contains(&command);
    let first = command.split(' ').next().unwrap_or_default();
    let codes = EXIT_CODES.into_iter().filter(|(code, _)| logs_in || *code <= 2);
    let exact = |code: u8| {
        let mut meanings = EXACT_CODES.iter();
        meanings.find(|(name, exact, _)| *name == first && *exact == code)
    };
    codes
        .map(|(code, meaning)| (code, exact(code).map_or(meaning, |(_, _, exact)| *exact)))
        .collect()
}

/// The exit codes of a command, for the text below `--help`.
pub(crate) fn codes_of(command: &str) -> String {
    let codes = exit_codes(command).into_iter();
    let lines: Vec<_> = codes
        .map(|(code, meaning)| format!("  {code}  {meaning}"))
        .collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}
