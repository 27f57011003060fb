//! Segmentation offload: one superpacket of the kernel's to many IP packets, and many to one. No I/O, no allocation.

pub mod header;
