//! Measurements with iperf3, ping and the tables of the kernel.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::figures::{Figures, median};
use super::peers::Peer;
use super::space::{Network, Process, Space, TIMEOUT};
use crate::shell;

/// Duration of the measurement of idle daemons.
const IDLE: Duration = Duration::from_secs(10);
/// Bytes of the short datagrams.
const SHORT: &str = "64";
/// Pings in a batch.
const PINGS: &str = "50";
/// Batches of pings to each peer in one turn.
const BATCHES: u32 = 20;

/// Pings to all peers in small batches, one peer after the other. The wake-up time of a sleeping thread changes from second to
/// second by more than the peers differ, so all peers are measured in every second.
pub(super) fn pings(network: &Network, peers: &[Peer], figures: &mut [Figures]) -> Result<()> {
    for _ in 0..BATCHES {
        for (peer, figures) in peers.iter().zip(figures.iter_mut()) {
            figures.ping.push(ping(&network.client, &peer.address)?);
        }
    }
    Ok(())
}

/// One turn of a peer, except the pings.
pub(super) fn take(network: &Network, peer: &Peer, seconds: u32, figures: &mut Figures) -> Result<()> {
    let tcp = |arguments: &[&str]| {
        let report = iperf3(&network.client, &peer.address, seconds, arguments)?;
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
    let report = iperf3(&network.client, &peer.address, seconds, &flood)?;
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
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let output = command.output()?;
        let report: Value = serde_json::from_slice(&output.stdout).context("iperf3 printed no report")?;
        let Some(error) = report.get("error") else {
            return Ok(report);
        };
        // The end of the previous test may still be in the queue of a flooded tunnel.
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

/// Median round-trip time of a batch of pings, one every 2 ms, in microseconds.
fn ping(space: &Space, address: &str) -> Result<f64> {
    let mut command = space.command("ping");
    let text = shell::read(command.args(["-n", "-i", "0.002", "-c", PINGS, address]))?;
    let times: Vec<f64> = text.lines().filter_map(time_of).collect();
    let median = median(&times).context("ping printed no times")?;
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

/// Busy time of all processors since the start of the machine, without idle and wait time.
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
        bail!("/proc/stat has an unknown form: {line}");
    };
    // A tick is 10 ms for programs, independently of the kernel's timer.
    Ok(Duration::from_millis((user + nice + system + irq + softirq) * 10))
}

/// Processor use of all daemons while nothing is sent, and their memory.
pub(super) fn idle(peers: &[Peer], figures: &mut [Figures]) -> Result<()> {
    println!("-- {} s without traffic", IDLE.as_secs());
    let times = || {
        let of_peer = |peer: &Peer| {
            let times = peer.daemons.iter().map(Process::processor_time);
            times.collect::<Result<Vec<_>>>()
        };
        peers.iter().map(of_peer).collect::<Result<Vec<_>>>()
    };
    // Earlier traffic has to end first.
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
