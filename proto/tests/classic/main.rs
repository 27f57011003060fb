//! Tests of the classic profile. They check datagrams, packets and events, as a shell or an eavesdropper sees
//! them.

mod client_data;
mod client_login;
mod client_roaming;
mod describe;
mod hostile;
mod secrets;
mod server_data;
mod server_login;
mod support;
mod vectors;
