//! The little of HTTP/1.1 (RFC 9112) that one page needs: what a request asks for, and what an answer looks like.

/// Where the page is.
pub(super) const PATH: &str = "/metrics";
/// Longest head of a request, in bytes. Prometheus sends some four hundred.
pub(super) const LONGEST_HEAD: usize = 8192;
/// Most fields in a head.
const MOST_FIELDS: usize = 64;
/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What somebody asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The page, or what is to be said instead.
    pub(super) page: Result<(), Refusal>,
    /// Whether the answer may have a body: that to HEAD may not.
    pub(super) wants_body: bool,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a request.
    Malformed,
    /// A request of another version.
    Version,
    /// The head is longer, or has more fields, than is read.
    TooLong,
    /// The head did not come in time.
    TooSlow,
    /// There is another path alone.
    NotFound,
    /// The page can be read, and nothing else done with it.
    Method,
    /// The tunnel does not answer.
    Hangs,
}

impl Refusal {
    /// Status code and reason.
    const fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Version => "505 HTTP Version Not Supported",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::TooSlow => "408 Request Timeout",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Hangs => "503 Service Unavailable",
        }
    }

    /// What to say to a person.
    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "not a request\n",
            Self::Version => "HTTP/1.1 is spoken here\n",
            Self::TooLong => "the request is too long\n",
            Self::TooSlow => "the request did not come in time\n",
            Self::NotFound => "there is only /metrics\n",
            Self::Method => "GET and HEAD\n",
            Self::Hangs => "the tunnel does not answer\n",
        }
    }
}

impl Asked {
    /// What is answered to who has not been understood.
    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self {
            page: Err(refusal),
            wants_body: true,
        }
    }
}

/// What the bytes read so far ask for; `None` if the head is not complete yet.
pub(super) fn understand(bytes: &[u8]) -> Option<Asked> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Asked::refused(Refusal::TooLong)),
        Err(httparse::Error::Version) => return Some(Asked::refused(Refusal::Version)),
        Err(_) => return Some(Asked::refused(Refusal::Malformed)),
    }
    let names_host = request
        .headers
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("host"));
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Some(Asked::refused(Refusal::Malformed));
    };
    // RFC 9112, section 3.2: a request of 1.1 without a host is an error, whatever else it has.
    if request.version == Some(1) && !names_host {
        return Some(Asked::refused(Refusal::Malformed));
    }
    let page = match (path_of(target), method) {
        (PATH, "GET" | "HEAD") => Ok(()),
        (PATH, _) => Err(Refusal::Method),
        _ => Err(Refusal::NotFound),
    };
    Some(Asked {
        page,
        wants_body: method != "HEAD",
    })
}

/// The path in a request's target, which may be a whole address and have a query.
fn path_of(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.find('/').map_or("/", |begin| &rest[begin..])
        }
        _ => target,
    };
    path.split('?').next().unwrap_or(path)
}

/// The bytes of an answer.
pub(super) fn answer(page: &Result<String, Refusal>, wants_body: bool) -> Vec<u8> {
    let (status, kind, allow, body) = match page {
        Ok(text) => ("200 OK", TEXT_FORMAT, "", text.as_str()),
        Err(refusal) => {
            let allow = match refusal {
                Refusal::Method => "Allow: GET, HEAD\r\n",
                _ => "",
            };
            (
                refusal.status(),
                "text/plain; charset=utf-8",
                allow,
                refusal.text(),
            )
        }
    };
    let len = body.len();
    let body = if wants_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{allow}Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "HTTP/1.1\r\nHost: localhost:9586\r\n\r\n";

    fn ask(line: &str) -> Asked {
        understand(format!("{line} {HOST}").as_bytes()).expect("a complete head")
    }

    #[test]
    fn the_page_is_found_by_path_with_or_without_query_and_host() {
        for target in [
            "/metrics",
            "/metrics?x=1",
            "http://localhost:9586/metrics",
            "HTTP://[::1]/metrics?",
        ] {
            assert_eq!(ask(&format!("GET {target}")).page, Ok(()), "{target}");
        }
    }

    #[test]
    fn other_paths_are_not_found_whatever_the_method() {
        for line in [
            "GET /",
            "GET /metrics/",
            "GET //metrics",
            "GET /metrics%20",
            "GET /Metrics",
            "GET *",
            "GET http://metrics",
            "POST /",
            "HEAD /x",
        ] {
            assert_eq!(ask(line).page, Err(Refusal::NotFound), "{line}");
        }
    }

    #[test]
    fn only_get_and_head_are_methods_and_head_gets_no_body() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "BREW"] {
            assert_eq!(
                ask(&format!("{method} /metrics")).page,
                Err(Refusal::Method),
                "{method}"
            );
        }
        let head = ask("HEAD /metrics");
        assert_eq!((head.page, head.wants_body), (Ok(()), false));
    }

    #[test]
    fn an_answer_to_head_has_the_length_of_the_page_and_not_the_page() {
        let page = Ok("sandhog_users 1\n".to_owned());
        let [with, without] = [true, false].map(|wants_body| {
            String::from_utf8(answer(&page, wants_body)).expect("we have written no other bytes")
        });
        assert_eq!(
            without,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 16\r\n\
             Connection: close\r\n\r\n"
        );
        assert_eq!(with, without + "sandhog_users 1\n");
    }

    #[test]
    fn a_method_that_is_not_allowed_hears_which_ones_are() {
        let text = String::from_utf8(answer(&Err(Refusal::Method), true)).expect("text");
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{text}");
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
    }

    #[test]
    fn a_request_of_1_1_names_a_host_and_one_of_1_0_need_not() {
        let without = b"GET /metrics HTTP/1.1\r\nAccept: */*\r\n\r\n";
        assert_eq!(understand(without), Some(Asked::refused(Refusal::Malformed)));
        let old = understand(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a complete head");
        assert_eq!(old.page, Ok(()));
    }

    #[test]
    fn half_a_head_is_waited_for_and_none_is_refused() {
        let whole = format!("GET /metrics {HOST}");
        for len in 0..whole.len() {
            assert_eq!(understand(&whole.as_bytes()[..len]), None, "{len} bytes");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        let cases: [(&[u8], Refusal); 6] = [
            (b"\x16\x03\x01\x02\x00\x01\x00\n\n", Refusal::Malformed),
            (b"GET\r\n\r\n", Refusal::Malformed),
            (b"GET /metrics HTTP/2.0\r\n\r\n", Refusal::Version),
            (b"GET /metrics HTTP/1.1\r\nHost : x\r\n\r\n", Refusal::Malformed),
            (b"GET /metrics HTTP/1.1\r\nHo\0st: x\r\n\r\n", Refusal::Malformed),
            (many.as_bytes(), Refusal::TooLong),
        ];
        for (bytes, refusal) in cases {
            assert_eq!(
                understand(bytes),
                Some(Asked::refused(refusal)),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
