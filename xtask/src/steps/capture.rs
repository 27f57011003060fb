//! The packet capture of a run, read by Wireshark.

use anyhow::{Result, ensure};

use crate::{shell, step::Session, typed};

/// Writes the capture of `first-light` and lets tshark search it for malformed packets.
pub(super) fn tshark_reads_it(_: &Session) -> Result<()> {
    let folder = shell::scratch("capture")?;
    let mut run = typed::command("cargo sim run first-light --seed 7 --quiet --out")?;
    shell::run(run.arg(&folder))?;
    let capture = folder.join("capture.pcapng");
    let count = |filter: &str| -> Result<usize> {
        let mut command = shell::command("tshark", "-r");
        let frames = shell::read(command.arg(&capture).args(["-Y", filter]))?;
        Ok(frames.lines().count())
    };
    let (inner, malformed) = (count("tcp")?, count("_ws.malformed")?);
    ensure!(inner > 0, "tshark finds no inner TCP in {}", capture.display());
    ensure!(
        malformed == 0,
        "tshark finds {malformed} malformed packets in {}",
        capture.display()
    );
    println!("{inner} frames of inner TCP, none malformed");
    Ok(())
}
