//! Password input from a terminal or standard input, and `sandhog hash-password`.

use std::io::{self, BufRead, IsTerminal};

use sandhog_proto::classic::{self, HashCost, MAX_CREDENTIAL_LEN};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::random;

/// Reads a new password and returns its hash in PHC string format, for the classic profile.
///
/// # Errors
///
/// If there is no password, an empty one, or two that differ.
pub fn hash() -> Result<String, Failure> {
    let password = new(!io::stdin().is_terminal())?;
    if password.len() > MAX_CREDENTIAL_LEN {
        return Err(Failure::input(format!(
            "the password is longer than {MAX_CREDENTIAL_LEN} bytes"
        )));
    }
    Ok(classic::hash_password(
        &password,
        random::bytes()?,
        HashCost::INTERACTIVE,
    ))
}

/// Reads a new password: one line of standard input, or twice from the terminal.
///
/// # Errors
///
/// If there is no password, an empty one, or two that differ.
pub fn new(from_stdin: bool) -> Result<Zeroizing<String>, Failure> {
    let password = if from_stdin {
        read_line()?
    } else {
        check_terminal("to read it from a pipe, use `--password-stdin`")?;
        let password = prompt("Password: ")?;
        if password != prompt("Repeat password: ")? {
            return Err(Failure::input("the two passwords differ"));
        }
        password
    };
    not_empty(password)
}

/// Asks for a known password on the terminal. `whose` is shown in the question: "kean at
/// vpn.example.com:40404".
///
/// # Errors
///
/// If there is no terminal, or the password is empty.
pub fn ask(whose: &str) -> Result<Zeroizing<String>, Failure> {
    check_terminal(
        "use one of these: a file named by `password-file`, the environment variable SANDHOG_PASSWORD, or the systemd \
         credential `sandhog.password`",
    )?;
    not_empty(prompt(&format!("Password of {whose}: "))?)
}

fn check_terminal(help: &str) -> Result<(), Failure> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::input("cannot ask for the password: standard input is not a terminal").with_help(help))
}

fn not_empty(password: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if password.is_empty() {
        return Err(Failure::input("the password is empty"));
    }
    Ok(password)
}

fn prompt(text: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(text)
        .map(Zeroizing::new)
        .map_err(|error| Failure::input(format!("cannot read the password: {error}")))
}

fn read_line() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::input(format!("cannot read the password: {error}")))?;
    let len = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(len);
    Ok(line)
}
