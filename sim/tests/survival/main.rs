//! What must survive: whole tunnels of the secure profile among the faults of `docs/survival.md`, whose rows name each
//! test. Asserted on what was on the wire, told or delivered.

mod accounts;
mod faults;
mod keys;
mod logins;
mod paths;
mod strangers;
mod support;
