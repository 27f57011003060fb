//! Segmentation offload: superpackets of the kernel's to IP packets, and IP packets to superpackets. No I/O, no allocation
//! for each packet.
//!
//! A superpacket is one IP packet whose payload is too long for any link, with a [`Header`](header::Header) in front that
//! tells how to cut it. [`Split`] cuts what the device gives; [`Coalescer`] puts together what the device is to get. What
//! goes through both comes out as it went in.

mod checksum;
mod coalesce;
pub mod header;
mod packet;
mod split;

pub use coalesce::{Coalescer, MAX_PARTS};
pub use split::{Malformed, Split};
