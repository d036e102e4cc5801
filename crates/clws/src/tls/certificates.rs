//! Which certificate a peer gets: the one for the name it asked for (SNI, RFC 6066 §3).
//!
//! The name is also left for the connection to pick up: rustls hands it to the resolver and to
//! nobody else. Both run on the session's thread, within one call.

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static ASKED: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The name that the last peer on this thread asked for.
pub(super) fn take_asked() -> Option<Box<str>> {
    ASKED.take()
}

/// A certificate with its key, and the names it is good for.
#[derive(Debug)]
struct Named {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Named {
    fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| covers(name, host))
    }
}

/// All certificates of a listener; the first is for everyone whom no other fits.
#[derive(Debug, Default)]
pub(super) struct Certificates(Vec<Named>);

impl Certificates {
    pub(super) fn push(&mut self, key: Arc<CertifiedKey>) {
        let names = key.cert.first().map(names).unwrap_or_default();
        self.0.push(Named { key, names });
    }

    /// The first that fits and that the peer can verify; else the first that fits.
    fn choose(
        &self,
        host: Option<&str>,
        can_verify: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<&Named> {
        let fits = |one: &&Named| host.is_some_and(|host| one.is_for(host));
        let fitting = || self.0.iter().filter(fits);
        fitting().find(|one| can_verify(&one.key)).or_else(|| fitting().next()).or(self.0.first())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        ASKED.set(host.map(Into::into));
        let schemes = hello.signature_schemes();
        let chosen = self.choose(host, |one| one.key.choose_scheme(schemes).is_some());
        chosen.map(|one| Arc::clone(&one.key))
    }
}

fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(parsed) => parsed.valid_dns_names().map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    }
}

/// Whether a certificate for `name` is one for `host`; a wildcard is one label (RFC 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(domain) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (name, host, expected) in [
            ("a.example", "a.example", true),
            ("a.example", "A.Example", true),
            ("a.example", "b.a.example", false),
            ("*.a.example", "b.a.example", true),
            ("*.a.example", "a.example", false),
            ("*.a.example", ".a.example", false),
            ("*.a.example", "c.b.a.example", false),
        ] {
            assert_eq!(covers(name, host), expected, "{name} for {host}");
        }
    }
}
