//! `sandhog hash-password`: from a password to what the server's configuration keeps of it.

use std::io::{self, BufRead, IsTerminal};

use sandhog_proto::classic::{self, HashCost, MAX_CREDENTIAL_LEN};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::random;

/// Reads a password and gives its hash in PHC string format.
///
/// # Errors
///
/// When there is no password, an empty one, or two that differ.
pub fn run() -> Result<String, Failure> {
    let password = if io::stdin().is_terminal() {
        ask()?
    } else {
        read_line()?
    };
    if password.is_empty() {
        return Err(Failure::input("the password is empty"));
    }
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

fn ask() -> Result<Zeroizing<String>, Failure> {
    let prompt = |text| {
        rpassword::prompt_password(text)
            .map(Zeroizing::new)
            .map_err(|error| Failure::input(format!("cannot read the password: {error}")))
    };
    let password = prompt("Password: ")?;
    if password != prompt("The same again: ")? {
        return Err(Failure::input("the two passwords differ"));
    }
    Ok(password)
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
