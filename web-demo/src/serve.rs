//! The web server for a built page, on loopback only.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::Failure;

/// The page may load its own files and run its own module. A request to another host is an error in the browser, and so in the
/// page's tests.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Binds the port on 127.0.0.1.
pub(crate) fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        Failure::Input(format!("cannot listen on 127.0.0.1:{port}: {error}; choose another port with --port (0 means any free port)"))
    })
}

/// Serves `folder` until Ctrl-C. First it prints the address, the only line on standard output.
pub(crate) fn serve(listener: TcpListener, folder: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| Failure::Input(format!("cannot start the server: {error}")))?;
    runtime
        .block_on(async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            println!("http://{}/", listener.local_addr()?);
            axum::serve(listener, router(folder))
                .with_graceful_shutdown(interrupted())
                .await
        })
        .map_err(|error| Failure::Input(format!("the server stopped: {error}")))
}

fn router(folder: &Path) -> Router {
    let always = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    Router::new()
        .fallback_service(ServeDir::new(folder))
        .layer(always(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // The files change with every build. A cached old module must not run with a new page.
        .layer(always(header::CACHE_CONTROL, "no-cache"))
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a signal handler, the server runs until it is killed.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_port_in_use_is_bad_input_and_is_in_the_message() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        match listen(port) {
            Err(Failure::Input(message)) => {
                assert!(message.contains(&format!("127.0.0.1:{port}")), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_have_their_types_and_a_content_security_policy() {
        let listener = listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        std::thread::spawn(move || serve(listener, &folder));
        let fetch = |path: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            reply.split("\r\n\r\n").next().unwrap().to_ascii_lowercase()
        };
        for (path, kind) in [
            ("/", "text/html"),
            ("/style.css", "text/css"),
            ("/main.js", "text/javascript"),
        ] {
            let head = fetch(path);
            assert!(head.starts_with("http/1.1 200"), "{head}");
            assert!(head.contains(&format!("content-type: {kind}")), "{head}");
            assert!(
                head.contains("content-security-policy: default-src 'self'"),
                "{head}"
            );
        }
        assert!(fetch("/../Cargo.toml").starts_with("http/1.1 404"));
    }
}
