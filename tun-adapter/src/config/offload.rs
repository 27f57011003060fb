//! The table `[offload]`: what may be left to the kernel, each with its off-switch.

use serde::Deserialize;

use crate::udp::Options;

/// What may be left to the kernel. All of it is for speed alone; a kernel or driver with a fault is why to switch one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Offload {
    /// The device gives and takes superpackets and checksums to be completed.
    pub tun_segmentation: bool,
    /// Datagrams to one peer are handed to the kernel in trains.
    pub udp_segmentation: bool,
    /// Datagrams of one peer are taken from the kernel in trains.
    pub udp_coalescing: bool,
}

impl Default for Offload {
    fn default() -> Self {
        Self {
            tun_segmentation: true,
            udp_segmentation: true,
            udp_coalescing: true,
        }
    }
}

impl Offload {
    /// What this asks of sockets.
    #[must_use]
    pub fn socket_options(&self) -> Options {
        Options {
            segmentation: self.udp_segmentation,
            coalescing: self.udp_coalescing,
            ..Options::default()
        }
    }
}
