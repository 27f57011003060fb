//! What the classic profile promises, one file for each part of the promise. Everything is asserted on datagrams,
//! packets and events, as a shell or an eavesdropper would see them.

mod client_carries;
mod client_logs_in;
mod client_sleeps_and_roams;
mod hostile;
mod secrets;
mod server_carries;
mod server_logs_in;
mod support;
mod vectors;
