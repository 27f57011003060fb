//! Minimal HTTP/1.1 (RFC 9112) for a single page: parsing of requests and formatting of responses.

/// Path of the page.
pub(super) const PATH: &str = "/metrics";
/// Largest request head, in bytes. Prometheus sends about 400.
pub(super) const MAX_HEAD: usize = 8192;
/// Maximum number of header fields.
const MAX_FIELDS: usize = 64;
/// Content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A parsed request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParsedRequest {
    /// `Ok` if the request is for the page, otherwise the error to respond with.
    pub(super) page: Result<(), HttpError>,
    /// True if the response has a body. The response to HEAD has none.
    pub(super) wants_body: bool,
}

/// An HTTP error response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpError {
    /// The request cannot be parsed.
    Malformed,
    /// The HTTP version is not supported.
    Version,
    /// The head is too long or has too many fields.
    TooLong,
    /// The head did not arrive in time.
    Timeout,
    /// The path is not [`PATH`].
    NotFound,
    /// The method is neither GET nor HEAD.
    Method,
    /// The tunnel does not reply.
    NoReply,
}

impl HttpError {
    /// Status code and reason phrase.
    const fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Version => "505 HTTP Version Not Supported",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Timeout => "408 Request Timeout",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::NoReply => "503 Service Unavailable",
        }
    }

    /// Body of the response.
    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "malformed request\n",
            Self::Version => "only HTTP/1.1 and HTTP/1.0 are supported\n",
            Self::TooLong => "the request head is too long\n",
            Self::Timeout => "the request did not arrive in time\n",
            Self::NotFound => "not found: the metrics are at /metrics\n",
            Self::Method => "only GET and HEAD are allowed\n",
            Self::NoReply => "the tunnel does not reply\n",
        }
    }
}

impl ParsedRequest {
    /// A request that gets an error response with a body.
    pub(super) const fn error(error: HttpError) -> Self {
        Self {
            page: Err(error),
            wants_body: true,
        }
    }
}

/// Parses a request head. Returns `None` if the head is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Option<ParsedRequest> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(ParsedRequest::error(HttpError::TooLong)),
        Err(httparse::Error::Version) => return Some(ParsedRequest::error(HttpError::Version)),
        Err(_) => return Some(ParsedRequest::error(HttpError::Malformed)),
    }
    let names_host = request
        .headers
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("host"));
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Some(ParsedRequest::error(HttpError::Malformed));
    };
    // An HTTP/1.1 request without a Host field is an error (RFC 9112, section 3.2).
    if request.version == Some(1) && !names_host {
        return Some(ParsedRequest::error(HttpError::Malformed));
    }
    let page = match (path_of(target), method) {
        (PATH, "GET" | "HEAD") => Ok(()),
        (PATH, _) => Err(HttpError::Method),
        _ => Err(HttpError::NotFound),
    };
    Some(ParsedRequest {
        page,
        wants_body: method != "HEAD",
    })
}

/// Path of a request target. The target may be an absolute URI and may have a query.
fn path_of(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.find('/').map_or("/", |begin| &rest[begin..])
        }
        _ => target,
    };
    path.split('?').next().unwrap_or(path)
}

/// Formats a response.
pub(super) fn response(page: &Result<String, HttpError>, wants_body: bool) -> Vec<u8> {
    let (status, kind, allow, body) = match page {
        Ok(text) => ("200 OK", TEXT_FORMAT, "", text.as_str()),
        Err(error) => {
            let allow = match error {
                HttpError::Method => "Allow: GET, HEAD\r\n",
                _ => "",
            };
            (error.status(), "text/plain; charset=utf-8", allow, error.text())
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

    fn parse_line(line: &str) -> ParsedRequest {
        parse(format!("{line} {HOST}").as_bytes()).expect("a complete head")
    }

    #[test]
    fn the_page_is_found_with_or_without_query_and_host() {
        for target in [
            "/metrics",
            "/metrics?x=1",
            "http://localhost:9586/metrics",
            "HTTP://[::1]/metrics?",
        ] {
            assert_eq!(parse_line(&format!("GET {target}")).page, Ok(()), "{target}");
        }
    }

    #[test]
    fn other_paths_are_not_found_with_any_method() {
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
            assert_eq!(parse_line(line).page, Err(HttpError::NotFound), "{line}");
        }
    }

    #[test]
    fn only_get_and_head_are_allowed_and_head_gets_no_body() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "BREW"] {
            assert_eq!(
                parse_line(&format!("{method} /metrics")).page,
                Err(HttpError::Method),
                "{method}"
            );
        }
        let head = parse_line("HEAD /metrics");
        assert_eq!((head.page, head.wants_body), (Ok(()), false));
    }

    #[test]
    fn a_response_to_head_has_the_length_of_the_page_but_no_body() {
        let page = Ok("sandhog_users 1\n".to_owned());
        let [with, without] =
            [true, false].map(|wants_body| String::from_utf8(response(&page, wants_body)).expect("UTF-8"));
        assert_eq!(
            without,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 16\r\n\
             Connection: close\r\n\r\n"
        );
        assert_eq!(with, without + "sandhog_users 1\n");
    }

    #[test]
    fn method_not_allowed_lists_the_allowed_methods() {
        let text = String::from_utf8(response(&Err(HttpError::Method), true)).expect("text");
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{text}");
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
    }

    #[test]
    fn http_1_1_requires_a_host_field_and_http_1_0_does_not() {
        let without = b"GET /metrics HTTP/1.1\r\nAccept: */*\r\n\r\n";
        assert_eq!(parse(without), Some(ParsedRequest::error(HttpError::Malformed)));
        let old = parse(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a complete head");
        assert_eq!(old.page, Ok(()));
    }

    #[test]
    fn an_incomplete_head_is_not_an_error_and_a_malformed_one_is() {
        let whole = format!("GET /metrics {HOST}");
        for len in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..len]), None, "{len} bytes");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        let cases: [(&[u8], HttpError); 6] = [
            (b"\x16\x03\x01\x02\x00\x01\x00\n\n", HttpError::Malformed),
            (b"GET\r\n\r\n", HttpError::Malformed),
            (b"GET /metrics HTTP/2.0\r\n\r\n", HttpError::Version),
            (b"GET /metrics HTTP/1.1\r\nHost : x\r\n\r\n", HttpError::Malformed),
            (
                b"GET /metrics HTTP/1.1\r\nHo\0st: x\r\n\r\n",
                HttpError::Malformed,
            ),
            (many.as_bytes(), HttpError::TooLong),
        ];
        for (bytes, error) in cases {
            assert_eq!(
                parse(bytes),
                Some(ParsedRequest::error(error)),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
