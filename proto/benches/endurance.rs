//! Ten million packets through a client and a server, with rekeys, roams, repeats and new logins: no key may see a nonce
//! twice. `cargo bench --package sandhog-proto --bench endurance`; as a test, it runs a hundredth of it.

#[path = "../tests/secure/audit.rs"]
mod audit;
#[path = "../tests/secure/support.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod support;

fn main() {
    let packets = if std::env::args().any(|argument| argument == "--bench") {
        10_000_000
    } else {
        100_000
    };
    let audit = audit::audited(packets);
    println!(
        "{} datagrams under {} keys, {} control datagrams repeated: no nonce came twice",
        audit.datagrams,
        audit.keys(),
        audit.repeats
    );
    assert!(audit.datagrams >= packets / 10 * 9);
}
