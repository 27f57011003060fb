//! Test binary of the program. No test here needs root. Tests that need root are in the module `netns` of the
//! workspace's tests.

#![cfg(target_os = "linux")]

mod check_and_doctor;
mod classic_configuration;
mod command_line;
mod credentials;
mod down;
mod init;
mod keys_and_clocks;
mod logs;
mod manual;
mod metrics_configuration;
mod offload;
mod profile;
mod secure_configuration;
mod secure_server;
mod secure_shell;
mod shell;
mod support;
mod udp;
mod units;
mod users;
