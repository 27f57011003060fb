//! What the secure profile promises, one file for each part of the promise. Everything is asserted on datagrams,
//! packets and events, as a shell or an eavesdropper would see them.

mod attack_flood;
mod attack_keys;
mod attack_login;
mod attack_replay;
mod attacker;
mod life;
mod login;
mod support;
