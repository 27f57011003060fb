//! Login at a server of the classic profile, and its bounds.

use sandhog_proto::classic::{
    Code, ConfigError, HashCost, MAX_MESSAGES, MAX_PENDING_JOBS, MAX_REQUESTS_PER_JOB, Server, ServerConfig,
    User, hash_password,
};
use sandhog_proto::{ApiMisuse, Command, Datagram, DropReason, EventKind, Instant, Peer};

use super::support::*;

const NOW: Instant = Instant::from_secs(1);

fn request(n: u16, login: &str, password: &str) -> Datagram {
    from(client_address(n), auth_request(login, password))
}

fn answer(is_ok: bool) -> (Code, Vec<u8>) {
    (Code::AuthResponse, format!(r#"{{"isOK":{is_ok}}}"#).into_bytes())
}

#[test]
fn a_login_is_answered_only_when_its_job_is_done() {
    let mut server = server();
    let mut login = request(0, LOGIN, PASSWORD);
    login.payload.tag = 42;
    assert!(turn(&mut server, NOW, vec![login], vec![]).is_silent());
    assert_eq!((server.pending_jobs(), server.session_count()), (1, 0));

    let output = finish_jobs(&mut server, NOW);
    assert_eq!(output.opened(), [answer(true)]);
    let datagram = &output.datagrams[0];
    assert_eq!(
        (datagram.remote, datagram.kind),
        (client_address(0), "auth-response")
    );
    assert_eq!((datagram.payload.tag, datagram.payload[0]), (42, 0x02));
    assert_eq!((server.pending_jobs(), server.session_count()), (0, 1));

    let event = server.poll_event().unwrap();
    let logged_in = EventKind::LoggedIn {
        login: LOGIN.to_owned(),
        remote: client_address(0),
    };
    assert_eq!((event.tag, event.kind), (42, logged_in));
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let observed = |login, password| {
        let mut server = server();
        let silent = turn(&mut server, NOW, vec![request(0, login, password)], vec![]);
        assert!(silent.is_silent());
        let job = server.poll_job().expect("a job in both cases");
        let job_as_seen = format!("{job:?}");
        server.handle_job(NOW, job.run()).unwrap();
        let output = turn(&mut server, NOW, vec![], vec![]);
        assert_eq!(server.session_count(), 0);
        let lengths: Vec<usize> = output
            .datagrams
            .iter()
            .map(|datagram| datagram.payload.len())
            .collect();
        (
            output.opened(),
            lengths,
            job_as_seen,
            events(&mut server),
            drops(&server),
        )
    };
    let wrong = observed(LOGIN, "654321");
    assert_eq!(wrong.0, [answer(false)]);
    assert_eq!(
        wrong.3,
        [EventKind::LoginRefused {
            remote: client_address(0)
        }]
    );
    assert_eq!(observed("nobody", "654321"), wrong);
}

#[test]
fn requests_that_arrive_during_the_verification_are_answered_too() {
    let mut server = server();
    let requests = (1..=3).map(|tag| {
        let mut request = request(0, LOGIN, PASSWORD);
        request.payload.tag = tag;
        request
    });
    turn(&mut server, NOW, requests.collect(), vec![]);
    assert_eq!(server.pending_jobs(), 1, "one job for one source");
    let output = finish_jobs(&mut server, NOW);
    assert_eq!(output.opened(), [answer(true), answer(true), answer(true)]);
    let tags: Vec<u64> = output
        .datagrams
        .iter()
        .map(|datagram| datagram.payload.tag)
        .collect();
    assert_eq!(tags, [1, 2, 3]);
    assert_eq!(drops(&server), []);
}

#[test]
fn a_repeated_request_is_answered_again_after_the_login() {
    let mut server = server();
    for _ in 0..3 {
        turn(&mut server, NOW, vec![request(0, LOGIN, PASSWORD)], vec![]);
        assert_eq!(finish_jobs(&mut server, NOW).opened(), [answer(true)]);
        assert_eq!(server.session_count(), 1);
    }
}

#[test]
fn a_failed_login_does_not_end_the_session_at_its_address() {
    let mut server = server();
    log_in(&mut server, client_address(0), LOGIN, PASSWORD);
    turn(&mut server, NOW, vec![request(0, LOGIN, "654321")], vec![]);
    assert_eq!(finish_jobs(&mut server, NOW).opened(), [answer(false)]);
    assert_eq!(server.session_count(), 1);
}

#[test]
fn other_credentials_from_a_source_under_verification_are_dropped_as_busy() {
    let mut server = server();
    let requests = vec![
        request(0, LOGIN, "654321"),
        request(0, LOGIN, PASSWORD),
        request(0, "anna", "654321"),
    ];
    turn(&mut server, NOW, requests, vec![]);
    assert_eq!(drops(&server), [(DropReason::Busy, 2)]);
    assert_eq!(finish_jobs(&mut server, NOW).opened(), [answer(false)]);
}

#[test]
fn the_numbers_of_pending_sources_and_of_requests_per_source_are_bounded() {
    let mut server = server();
    for n in 0..u16::try_from(2 * MAX_PENDING_JOBS).unwrap() {
        let flood = (0..2 * MAX_REQUESTS_PER_JOB)
            .map(|_| request(n, LOGIN, PASSWORD))
            .collect();
        assert!(turn(&mut server, NOW, flood, vec![]).is_silent());
    }
    assert_eq!(server.pending_jobs(), MAX_PENDING_JOBS);
    let answered = MAX_PENDING_JOBS * MAX_REQUESTS_PER_JOB;
    let asked = 4 * answered;
    assert_eq!(
        drops(&server),
        [(DropReason::Busy, u64::try_from(asked - answered).unwrap())]
    );

    assert_eq!(finish_jobs(&mut server, NOW).datagrams.len(), answered);
    assert_eq!((server.pending_jobs(), server.session_count()), (0, 1));
}

#[test]
fn malformed_requests_and_messages_for_clients_get_no_reply() {
    let mut server = server();
    let long = "x".repeat(1025);
    let datagrams = vec![
        from(client_address(0), seal(Code::AuthRequest, b"{}")),
        from(client_address(0), auth_request(LOGIN, &long)),
        from(client_address(0), auth_request(&long, PASSWORD)),
        from(client_address(0), seal(Code::AuthResponse, br#"{"isOK":true}"#)),
    ];
    assert!(turn(&mut server, NOW, datagrams, vec![]).is_silent());
    assert_eq!(server.pending_jobs(), 0);
    assert_eq!(
        drops(&server),
        [(DropReason::MalformedBody, 3), (DropReason::Unexpected, 1)]
    );
}

#[test]
fn a_server_with_an_exhausted_key_sends_no_response() {
    let mut server = server();
    server.count_earlier_messages(MAX_MESSAGES);
    turn(&mut server, NOW, vec![request(0, LOGIN, PASSWORD)], vec![]);
    assert!(finish_jobs(&mut server, NOW).is_silent());
    assert_eq!(drops(&server), [(DropReason::KeyExhausted, 1)]);
}

#[test]
fn the_result_of_a_job_of_another_peer_is_misuse() {
    let (mut server, mut other) = (server(), server());
    turn(&mut other, NOW, vec![request(0, "anna", "secret")], vec![]);
    let foreign = other.poll_job().unwrap().run();
    assert_eq!(server.handle_job(NOW, foreign), Err(ApiMisuse::UnknownJob));
    let mut client = client();
    turn(&mut server, NOW, vec![request(0, LOGIN, PASSWORD)], vec![]);
    let done = server.poll_job().unwrap().run();
    assert_eq!(client.handle_job(NOW, done), Err(ApiMisuse::UnknownJob));
}

#[test]
fn a_server_takes_no_commands() {
    let mut server = server();
    assert_eq!(server.command(NOW, Command::Start), Err(ApiMisuse::NotAClient));
}

#[test]
fn an_input_before_the_outputs_were_polled_is_misuse() {
    let mut server = server();
    log_in(&mut server, client_address(0), LOGIN, PASSWORD);
    let down = || packet("10.9.0.1", "10.9.0.2", 84);
    assert_eq!(server.handle_packet(NOW, down()), Ok(()));
    assert_eq!(server.handle_packet(NOW, down()), Err(ApiMisuse::NotDrained));
    assert_eq!(
        server.handle_datagram(NOW, request(0, LOGIN, PASSWORD)),
        Err(ApiMisuse::NotDrained)
    );
    assert!(server.poll_datagram().is_some());
    assert_eq!(server.handle_packet(NOW, down()), Ok(()));
}

#[test]
fn a_contradictory_configuration_is_rejected() {
    let error = |users: Vec<User>, mtu| {
        Server::new(ServerConfig {
            key: key(),
            users,
            mtu,
            seed: [0; 32],
        })
        .map(drop)
        .unwrap_err()
    };
    let twice = vec![user("a", "x", &[]), user("a", "y", &[])];
    assert_eq!(error(twice, MTU), ConfigError::DuplicateLogin("a".to_owned()));
    let shared = vec![user("a", "x", &["10.9.0.2"]), user("b", "y", &["10.9.0.2"])];
    assert_eq!(error(shared, MTU), ConfigError::DuplicateAddress(ip("10.9.0.2")));
    assert_eq!(error(vec![], 67), ConfigError::MtuTooSmall(67));
    for hash in [
        "",
        "123456",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
        "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    ] {
        let bad = User {
            password_hash: hash.to_owned(),
            ..user("a", "x", &[])
        };
        assert_eq!(
            error(vec![bad], MTU),
            ConfigError::BadPasswordHash("a".to_owned()),
            "{hash}"
        );
    }
}

#[test]
fn a_server_without_users_rejects_every_login() {
    let mut server = Server::new(ServerConfig {
        key: key(),
        users: vec![],
        mtu: MTU,
        seed: [0; 32],
    })
    .unwrap();
    turn(&mut server, NOW, vec![request(0, "", "")], vec![]);
    assert_eq!(finish_jobs(&mut server, NOW).opened(), [answer(false)]);
}

#[test]
fn a_password_hash_is_a_phc_string_of_password_salt_and_cost() {
    let hash = hash_password("123456", [7; 16], HashCost::LABORATORY);
    assert!(
        hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$"),
        "{hash}"
    );
    assert_eq!(hash, hash_password("123456", [7; 16], HashCost::LABORATORY));
    assert_ne!(hash, hash_password("123456", [8; 16], HashCost::LABORATORY));
    let interactive = hash_password("123456", [7; 16], HashCost::INTERACTIVE);
    assert!(
        interactive.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{interactive}"
    );
}
