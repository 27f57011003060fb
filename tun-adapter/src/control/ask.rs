//! The commands' end of the control socket.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Answer, Question, Request, socket_name};
use crate::failure::Failure;
use crate::net::record;

/// Longest wait for a tunnel that does not answer.
const PATIENCE: Duration = Duration::from_secs(35);
/// Longest answer that is read, in bytes. Ten thousand sessions are a tenth of it.
const LONGEST_ANSWER: u64 = 64 << 20;

/// The devices that have a socket, in order of their names; some may be left over.
///
/// # Errors
///
/// When the folder is there and cannot be read.
pub fn devices() -> Result<Vec<String>, Failure> {
    let folder = record::folder();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::runtime(
                format_args!("look into {}", folder.display()),
                error,
            ));
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut devices: Vec<_> = names
        .filter_map(|name| name.strip_suffix(".sock").map(str::to_owned))
        .collect();
    devices.sort();
    Ok(devices)
}

/// Asks the tunnel with the device `device`; `None` if there is none that runs.
///
/// # Errors
///
/// When it may not be asked, or its answer is none.
pub fn ask(device: &str, question: Question) -> Result<Option<Answer>, Failure> {
    let path = record::folder().join(socket_name(device));
    match converse(&path, question) {
        Ok(line) if line.is_empty() => Ok(None),
        Ok(line) => serde_json::from_str(&line)
            .map(Some)
            .map_err(|error| Failure::runtime(format_args!("understand the tunnel {device}"), error)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                Ok(None)
            }
            io::ErrorKind::PermissionDenied => {
                Err(Failure::runtime(format_args!("ask the tunnel {device}"), error)
                    .with_help("run as root, or as the user that has started it"))
            }
            _ => Err(
                Failure::runtime(format_args!("ask the tunnel {device}"), error).with_help(format!(
                    "it does not answer; `fuser {}` tells its process, and its log why",
                    path.display()
                )),
            ),
        },
    }
}

/// One line there, one line back; empty when the other side has gone away.
fn converse(path: &Path, question: Question) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(&Request { request: question })?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut line)?;
    Ok(line)
}
