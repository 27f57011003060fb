//! Tests of the secure profile. They check datagrams, packets and events, as a shell or an eavesdropper sees
//! them.

mod attack_flood;
mod attack_input;
mod attack_keys;
mod attack_login;
mod attack_nonces;
mod attack_replay;
mod attack_server;
mod attacker;
mod audit;
mod data_plane;
mod describe;
mod hand_server;
mod limits_and_ends;
mod login;
mod login_restart;
mod mutation_gaps;
mod plane;
mod replaced;
mod session;
mod session_limits;
mod shown;
mod silent;
mod support;
mod table;
mod users;
