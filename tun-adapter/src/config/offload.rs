//! Configuration table `[offload]`: switches for the offload features of the kernel.

use serde::Deserialize;

use crate::udp::Options;

/// Offload features in use. They only increase the speed. Switch one off if a kernel or driver has a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Offload {
    /// The device uses superpackets and partial checksums.
    pub tun_segmentation: bool,
    /// Datagrams to one peer are sent in trains.
    pub udp_segmentation: bool,
    /// Datagrams from one peer are received in trains.
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
    /// The resulting socket options.
    #[must_use]
    pub fn socket_options(&self) -> Options {
        Options {
            segmentation: self.udp_segmentation,
            coalescing: self.udp_coalescing,
            ..Options::default()
        }
    }
}
