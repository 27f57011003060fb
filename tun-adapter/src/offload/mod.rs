//! Segmentation offload in software: superpackets of the kernel to IP packets, and back. No I/O and no
//! allocation per packet.
//!
//! A superpacket is one IP packet with a payload that is too long for any link, after a
//! [`Header`](header::Header) that describes how to segment it. [`Split`] segments superpackets from the
//! device. [`Coalescer`] joins packets for the device. Both together leave the packets unchanged.

mod checksum;
mod coalesce;
pub mod header;
mod packet;
mod split;

pub use coalesce::{Coalescer, MAX_PARTS};
pub use split::{Malformed, Split};
