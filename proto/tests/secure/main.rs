//! What the secure profile promises, one file for each part of the promise. Everything is asserted on datagrams,
//! packets and events, as a shell or an eavesdropper would see them.

mod attack_flood;
mod attack_input;
mod attack_keys;
mod attack_login;
mod attack_nonces;
mod attack_replay;
mod attacker;
mod audit;
mod data_plane;
mod life;
mod login;
mod mutation_gaps;
mod plane;
mod support;
mod table;
mod users;
