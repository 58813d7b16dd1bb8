//! What every request passes: the bearer token, and the meter. And what none has a route for.
//! Must not know what a route does.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::a2a::Form;
use crate::problem::Kind;
use crate::{Front, TokenHash};

/// What goes with every 401, as the header `www-authenticate` (RFC 6750).
pub(crate) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"photon\"");

/// The route that requests without one are counted under.
const UNMATCHED: &str = "unmatched";

/// Lets a request pass if it may, and counts its reply.
pub(crate) async fn pass(State(front): State<Front>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let is_preflight = method == Method::OPTIONS && request.uri().path().starts_with("/ard/");
    let is_open =
        is_preflight || is_public(request.uri().path()) || is_known(&front, request.headers());
    let form = Form::of(request.uri().path());
    let response = if front.tokens().is_empty() && is_foreign(&request) {
        let detail = "without tokens a region serves this machine alone: use `localhost` or a \
            loopback address as host, or configure `listen.tokens`";
        Turned::ForeignHost.answer(form, detail)
    } else if is_open {
        // A route below another sees only the rest of the path.
        request.extensions_mut().insert(form);
        next.run(request).await
    } else {
        let detail = "send the header `authorization: Bearer` with a token of this region; \
            `photon token new` makes one";
        Turned::Unauthorized.answer(form, detail)
    };
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let status = form.map_or(response.status(), |form| form.status(&response));
    front.meter().count(&method, route, status, began.elapsed());
    response
}

/// Whether a request was meant for another host, or comes from a page of one: a browser on this
/// machine may have been told that a stranger's name points here (DNS rebinding).
fn is_foreign(request: &Request) -> bool {
    let text = |name| request.headers().get(name).map(|it| it.to_str().unwrap_or_default());
    let authority = request.uri().authority().map(Authority::as_str);
    let origin = text(ORIGIN).map(|it| it.split_once("://").map_or("", |(_, host)| host));
    [authority, text(HOST), origin].into_iter().flatten().any(|it| !is_here(it))
}

/// Whether `host`, with or without a port, names this machine to itself.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether strangers may see a path: probes, and the card that says that a token is needed.
fn is_public(path: &str) -> bool {
    ["/healthz", "/readyz", "/robots.txt"].contains(&path) || path.starts_with("/.well-known/")
}

/// Whether a request has a token of this region, or needs none.
pub(crate) fn is_known(front: &Front, headers: &HeaderMap) -> bool {
    if front.tokens().is_empty() {
        return true;
    }
    let Some(text) = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let Some((scheme, token)) = text.split_once(' ') else { return false };
    let token = token.trim();
    let shown = TokenHash::of(token);
    // All hashes are compared, so that the time does not tell which one matched.
    let matches = front.tokens().iter().filter(|it| it.is_same(&shown)).count();
    scheme.eq_ignore_ascii_case("bearer") && 0 < matches
}

/// Why a request comes to no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// It has no token that is known.
    Unauthorized,
    /// It was meant for another host.
    ForeignHost,
    /// There is nothing at its path.
    NotFound,
    /// Its path has other methods.
    MethodNotAllowed,
}

impl Turned {
    /// Answers in the form of A2A that is spoken at the path, or else as `/v1` does.
    fn answer(self, form: Option<Form>, detail: &str) -> Response {
        if let Some(form) = form {
            return form.refuse(self, detail);
        }
        let kind = match self {
            Self::Unauthorized => Kind::Unauthorized,
            Self::ForeignHost => Kind::ForeignHost,
            Self::NotFound => Kind::NotFound,
            Self::MethodNotAllowed => Kind::MethodNotAllowed,
        };
        kind.problem(detail).into_response()
    }
}

/// Answers a request for which there is no path.
pub(crate) async fn not_found(Extension(form): Extension<Option<Form>>, uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    let help = match form {
        Some(_) => "the agent card has the addresses",
        None => "see /v1/openapi.json",
    };
    Turned::NotFound.answer(form, &format!("there is nothing at `{path}`; {help}"))
}

/// Answers a request whose path has other methods; the router adds which, as `Allow`.
pub(crate) async fn method_not_allowed(
    Extension(form): Extension<Option<Form>>,
    method: Method,
) -> Response {
    let method: String = method.as_str().chars().take(20).collect();
    let detail = format!("`{method}` is not one of those in the `allow` header");
    Turned::MethodNotAllowed.answer(form, &detail)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(host: &str, origin: Option<&str>, expected: bool) {
        let mut request = Request::builder().uri("/v1/tasks").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(is_foreign(&request), expected, "{host} {origin:?}");
    }

    #[test]
    fn a_page_of_another_host_is_told_apart() {
        for host in ["localhost:7400", "127.0.0.1", "127.8.8.8:1", "[::1]:7400"] {
            check(host, None, false);
        }
        check("localhost:7400", Some("http://localhost:5173"), false);
        for host in ["evil.example:7400", "10.0.0.1", "127.0.0.1.evil.example", ""] {
            check(host, None, true);
        }
        check("localhost:7400", Some("http://evil.example"), true);
        check("localhost:7400", Some("null"), true);
    }
}
