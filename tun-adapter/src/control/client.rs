//! Client side of the control socket, for the commands.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Reply, Request, RequestLine, socket_name};
use crate::failure::Failure;
use crate::net::record;

/// Timeout for a reply.
const TIMEOUT: Duration = Duration::from_secs(35);
/// Largest reply that is read, in bytes. Ten thousand sessions take a tenth of it.
const MAX_REPLY: u64 = 64 << 20;

/// Names of the devices that have a control socket, sorted. Some sockets may be left over from killed
/// processes.
///
/// # Errors
///
/// If the folder exists and cannot be read.
pub fn devices() -> Result<Vec<String>, Failure> {
    let folder = record::folder();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::runtime(
                format_args!("read the folder {}", folder.display()),
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

/// Sends a request to the tunnel with the device `device`. Returns `None` if no such tunnel is running.
///
/// # Errors
///
/// If the user has no access to the socket, if the tunnel does not reply, or if the reply cannot be parsed.
pub fn send_request(device: &str, request: Request) -> Result<Option<Reply>, Failure> {
    let path = record::folder().join(socket_name(device));
    match exchange(&path, request) {
        Ok(line) if line.is_empty() => Ok(None),
        Ok(line) => serde_json::from_str(&line)
            .map(Some)
            .map_err(|error| Failure::runtime(format_args!("parse the reply of the tunnel {device}"), error)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                Ok(None)
            }
            io::ErrorKind::PermissionDenied => {
                Err(Failure::runtime(format_args!("query the tunnel {device}"), error)
                    .with_help("run this command as root, or as the user that started the tunnel"))
            }
            _ => Err(
                Failure::runtime(format_args!("query the tunnel {device}"), error).with_help(format!(
                    "the tunnel does not reply. `fuser {}` shows its process; see the log of that process",
                    path.display()
                )),
            ),
        },
    }
}

/// Sends one line and reads one line. The result is empty if the other side closes the connection.
fn exchange(path: &Path, request: Request) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut text = serde_json::to_vec(&RequestLine { request })?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REPLY)).read_line(&mut line)?;
    Ok(line)
}
