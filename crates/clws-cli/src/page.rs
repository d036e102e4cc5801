//! The page at `/`, from which a person tries the server.

use clws::{Request, Resource, Response};

/// Nothing but the page itself runs in it, and nothing frames it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub(crate) struct Page;

impl Resource for Page {
    fn get(&self, _: &Request) -> Option<Response> {
        Response::new(200)
            .with_header("Content-Security-Policy", POLICY)
            .and_then(|response| response.with_header("X-Content-Type-Options", "nosniff"))
            .and_then(|response| response.with_header("Cache-Control", "no-store"))
            .and_then(|r| r.with_body("text/html; charset=utf-8", include_str!("page.html")))
            .ok()
    }
}
