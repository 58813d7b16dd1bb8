//! The address of a front door.
//! Must not connect to it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use photon_edge::Trust;
use reqwest::Url;

/// The base URL of a region's front door, such as `http://127.0.0.1:7400`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Text that is not the address of a front door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL at all.
    #[error("write it as http://127.0.0.1:7400")]
    NotUrl,
    /// It has another scheme.
    #[error("`{0}` is not supported: write it as http://127.0.0.1:7400")]
    Scheme(String),
}

impl Endpoint {
    /// Whether the front door is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// Whether what is said to it is for nobody else to read.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns whose certificates are of use there.
    #[must_use]
    pub(crate) fn trust(&self) -> Trust {
        if self.is_https() { Trust::Machine } else { Trust::Nobody }
    }

    /// Returns the URL of what is at `path`; each segment may hold any text.
    #[must_use]
    pub fn join(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        let mut segments = url.path_segments_mut().expect("http has a path: checked when parsed");
        segments.pop_if_empty().extend(path);
        drop(segments);
        url
    }
}

/// Whether what is at a URL is on this machine: no proxy leads there.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|_| EndpointError::NotUrl)?;
        match url.scheme() {
            "http" | "https" => {}
            other => return Err(EndpointError::Scheme(other.to_owned())),
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme_but_not_have_another() {
        let check = |text: &str, expected: Result<&str, EndpointError>| {
            let found = text.parse::<Endpoint>().map(|it| it.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        };
        check("http://127.0.0.1:7400", Ok("http://127.0.0.1:7400"));
        check("127.0.0.1:7400/", Ok("http://127.0.0.1:7400"));
        check("localhost:7400", Ok("http://localhost:7400"));
        check("http://gate/photon/?a=b#c", Ok("http://gate/photon"));
        check("https://gate", Ok("https://gate"));
        check("ftp://gate", Err(EndpointError::Scheme("ftp".to_owned())));
        check("", Err(EndpointError::NotUrl));
    }

    #[test]
    fn a_segment_of_a_path_may_hold_any_text() {
        let check = |base: &str, expected| {
            let url = base.parse::<Endpoint>().unwrap().join(&["v1", "agents", "a/b?c"]);
            assert_eq!(url.as_str(), expected);
        };
        check("gate:1", "http://gate:1/v1/agents/a%2Fb%3Fc");
        check("gate:1/photon/", "http://gate:1/photon/v1/agents/a%2Fb%3Fc");
    }

    #[test]
    fn loopback_is_known_in_each_of_its_forms() {
        for (text, expected) in
            [("127.0.0.2:1", true), ("[::1]:1", true), ("localhost", true), ("10.0.0.1", false)]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_loopback(), expected, "{text}");
        }
    }
}
