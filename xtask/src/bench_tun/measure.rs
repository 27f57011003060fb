//! The measurements themselves: what iperf3, ping and the kernel's tables say.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::figures::{Figures, median};
use super::peers::Peer;
use super::space::{PATIENCE, Process, Space, World};
use crate::shell;

/// How long nothing is sent, to see what the daemons do then.
const IDLE: Duration = Duration::from_secs(10);
/// Bytes of the short datagrams.
const SHORT: &str = "64";
/// Pings in a batch.
const PINGS: &str = "50";
/// Batches of pings to each peer in one turn.
const BATCHES: u32 = 20;

/// Pings to all peers in small batches, by turns. How long a sleeping thread takes to wake up changes from second to second
/// by more than the peers differ; so each of them gets its share of every second.
pub(super) fn pings(world: &World, peers: &[Peer], figures: &mut [Figures]) -> Result<()> {
    for _ in 0..BATCHES {
        for (peer, figures) in peers.iter().zip(figures.iter_mut()) {
            figures.ping.push(ping(&world.client, &peer.address)?);
        }
    }
    Ok(())
}

/// One turn of a peer, but for the pings.
pub(super) fn take(world: &World, peer: &Peer, seconds: u32, figures: &mut Figures) -> Result<()> {
    let tcp = |arguments: &[&str]| {
        let report = iperf3(&world.client, &peer.address, seconds, arguments)?;
        number(&report, "/end/sum_received/bits_per_second")
    };
    let before = busy_time()?;
    let up = tcp(&[])?;
    let busy = (busy_time()? - before).as_nanos() as f64;
    figures.cost.push(busy / (up / 8.0 * f64::from(seconds)));
    figures.up.push(up);
    figures.down.push(tcp(&["--reverse"])?);
    figures.four.push(tcp(&["--parallel", "4"])?);
    let flood = ["--udp", "--bitrate", "0", "--length", SHORT];
    let report = iperf3(&world.client, &peer.address, seconds, &flood)?;
    let packets = number(&report, "/end/sum_received/packets")?;
    let lost = number(&report, "/end/sum_received/lost_packets")?;
    let time = number(&report, "/end/sum_received/seconds")?;
    figures.datagrams.push((packets - lost) / time);
    Ok(())
}

fn iperf3(space: &Space, address: &str, seconds: u32, arguments: &[&str]) -> Result<Value> {
    let mut command = space.command("iperf3");
    command.args(["--json", "--client", address, "--time", &seconds.to_string()]);
    command.args(arguments);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = command.output()?;
        let report: Value = serde_json::from_slice(&output.stdout).context("iperf3 gave no report")?;
        let Some(error) = report.get("error") else {
            return Ok(report);
        };
        // The end of the test before may still be on its way through a tunnel that was flooded.
        if !error.to_string().contains("busy") || Instant::now() > deadline {
            bail!("iperf3 to {address} {}: {error}", arguments.join(" "));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn number(report: &Value, pointer: &str) -> Result<f64> {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.with_context(|| format!("iperf3's report has no {pointer}"))
}

/// The median of a batch of pings, one each 2 ms, in microseconds.
fn ping(space: &Space, address: &str) -> Result<f64> {
    let mut command = space.command("ping");
    let text = shell::read(command.args(["-n", "-i", "0.002", "-c", PINGS, address]))?;
    let times: Vec<f64> = text.lines().filter_map(time_of).collect();
    let median = median(&times).context("ping says no times")?;
    Ok(median * 1000.0)
}

/// The milliseconds in a line such as `64 bytes from 10.9.0.1: icmp_seq=1 ttl=64 time=0.065 ms`.
fn time_of(line: &str) -> Option<f64> {
    line.split_once("time=")?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The time that all processors together have been at work since the machine was started, without waiting.
fn busy_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    // user, nice, system; not idle and iowait; irq, softirq.
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else {
        bail!("/proc/stat is not as it should be: {line}");
    };
    // A tick is 10 ms for programs, whatever it is for the kernel.
    Ok(Duration::from_millis((user + nice + system + irq + softirq) * 10))
}

/// What the daemons do while nobody wants anything, all at the same time, and how much memory they have by now.
pub(super) fn idle(peers: &[Peer], figures: &mut [Figures]) -> Result<()> {
    println!("-- {} s of silence", IDLE.as_secs());
    let times = || {
        let of_peer = |peer: &Peer| {
            let times = peer.daemons.iter().map(Process::processor_time);
            times.collect::<Result<Vec<_>>>()
        };
        peers.iter().map(of_peer).collect::<Result<Vec<_>>>()
    };
    // What was under way has to end first.
    std::thread::sleep(Duration::from_secs(2));
    let (before, started) = (times()?, Instant::now());
    std::thread::sleep(IDLE);
    let (after, elapsed) = (times()?, started.elapsed());
    for (index, figures) in figures.iter_mut().enumerate() {
        for (before, after) in before[index].iter().zip(&after[index]) {
            figures
                .idle
                .push(100.0 * (*after - *before).as_secs_f64() / elapsed.as_secs_f64());
        }
        for daemon in &peers[index].daemons {
            figures.resident.push(daemon.resident()?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_ping_is_found_in_its_line() {
        let line = "64 bytes from 10.9.0.1: icmp_seq=1 ttl=64 time=0.065 ms";
        assert_eq!(time_of(line), Some(0.065));
        assert_eq!(time_of("--- 10.9.0.1 ping statistics ---"), None);
    }
}
