//! The opening handshake of a session: from the first byte to the 101, a page or a refusal.

use super::live::Live;
use super::{Output, Phase, Session};
use crate::client::{Client, Shared};
use crate::hub::{Hub, Kit};
use crate::request::Request;
use crate::resource::{Accept, Reject};
use crate::routes::Route;
use clws_proto::connection::Connection;
use clws_proto::handshake::{self, Refusal, RequestReader, Response, check_upgrade};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

/// A request that is arriving.
#[derive(Debug)]
pub(super) struct Opening {
    received: Vec<u8>,
    reader: RequestReader,
    pub(super) deadline: Instant,
}

impl Opening {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { received: Vec::new(), reader: RequestReader::default(), deadline }
    }
}

/// What a request comes to.
enum Verdict {
    Connect { route: Arc<Route>, accept: Accept, upgrade: handshake::Upgrade },
    Answer { response: Response, head_only: bool },
}

impl Verdict {
    fn refuse(request: &Request, refusal: &Refusal) -> Self {
        Self::answer(request, Response::from(refusal))
    }

    fn answer(request: &Request, response: Response) -> Self {
        Self::Answer { response, head_only: request.method() == "HEAD" }
    }
}

impl Session {
    pub(super) fn handle_opening(&mut self, kit: &mut Kit, input: &mut [u8], out: &mut dyn Output) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        // Nearly every request comes in one piece and need not be gathered.
        if opening.received.is_empty() {
            match opening.reader.handle_bytes(input, &kit.hub.handshake) {
                Ok(None) => opening.received.extend_from_slice(input),
                Ok(Some((head, used))) => {
                    let rest = input.get_mut(used..).unwrap_or_default();
                    self.answer(kit, head, rest, out);
                }
                Err(refusal) => self.refuse_now(kit, &refusal, out),
            }
            return;
        }
        opening.received.extend_from_slice(input);
        match opening.reader.handle_bytes(&opening.received, &kit.hub.handshake) {
            Ok(None) => {}
            Ok(Some((head, used))) => {
                let mut received = std::mem::take(&mut opening.received);
                let rest = received.get_mut(used..).unwrap_or_default();
                self.answer(kit, head, rest, out);
            }
            Err(refusal) => self.refuse_now(kit, &refusal, out),
        }
    }

    fn answer(
        &mut self,
        kit: &mut Kit,
        head: handshake::Request,
        rest: &mut [u8],
        out: &mut dyn Output,
    ) {
        let request = Request::new(head, self.peer);
        match decide(&kit.hub, &request) {
            Verdict::Connect { route, accept, upgrade } => {
                self.connect(kit, request, route, accept, &upgrade);
                self.run(kit, rest, out, true);
            }
            Verdict::Answer { response, head_only } => {
                self.respond(kit, &response, head_only);
                self.handle_writable(kit, out);
            }
        }
    }

    fn connect(
        &mut self,
        kit: &mut Kit,
        request: Request,
        route: Arc<Route>,
        accept: Accept,
        upgrade: &handshake::Upgrade,
    ) {
        let mut queue = kit.queue();
        let Accept { subprotocol, headers, data } = accept;
        if upgrade.write_response(subprotocol.as_deref(), &headers, queue.bytes()).is_err() {
            kit.hub.release();
            return self.refuse(kit, &internal_error());
        }
        self.queue = Some(queue);
        let client = Client(Arc::new(Shared {
            id: self.id,
            slot: self.slot,
            courier: Arc::clone(&kit.courier),
            route,
            limits: Arc::clone(&kit.hub.limits),
            request,
            version: upgrade.version(),
            subprotocol: subprotocol.map(String::into_boxed_str),
            data,
            open: AtomicBool::new(true),
            gone: AtomicBool::new(false),
            pressed: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            letters: AtomicU32::new(0),
        }));
        kit.hub.counters.connected.add(1);
        kit.hub.clients().insert(self.id, client.clone());
        let connection = Connection::server(Arc::clone(&kit.hub.config), kit.now);
        self.phase = Phase::Live(Live::new(client, connection));
    }

    pub(super) fn opening_timeout(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        match &self.phase {
            // A peer that said nothing is told nothing.
            Phase::Opening(opening) if opening.received.is_empty() => {
                self.phase = Phase::Gone { abort: false };
            }
            _ => self.refuse_now(kit, &Refusal::new(408, "the request took too long"), out),
        }
    }

    fn refuse_now(&mut self, kit: &mut Kit, refusal: &Refusal, out: &mut dyn Output) {
        self.refuse(kit, refusal);
        self.handle_writable(kit, out);
    }

    pub(super) fn refuse(&mut self, kit: &mut Kit, refusal: &Refusal) {
        tracing::debug!(client = self.id, status = refusal.status(), "handshake refused");
        self.respond(kit, &Response::from(refusal), false);
    }

    fn respond(&mut self, kit: &mut Kit, response: &Response, head_only: bool) {
        if response.status() >= 400 {
            kit.hub.counters.refused.add(1);
        }
        let mut queue = kit.queue();
        response.write_to(head_only, queue.bytes());
        self.queue = Some(queue);
        let until = kit.now + kit.hub.limits.close_timeout;
        self.phase = Phase::Ending { until, half_closed: false, heard_end: false };
    }
}

fn decide(hub: &Hub, request: &Request) -> Verdict {
    if !request.head().is_upgrade() {
        return plain_get(hub, request);
    }
    match connect_verdict(hub, request) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::refuse(request, &refusal),
    }
}

fn plain_get(hub: &Hub, request: &Request) -> Verdict {
    let refuse = |refusal: &Refusal| Verdict::refuse(request, refusal);
    let Some(route) = hub.routes.find(request.path()) else { return refuse(&not_found()) };
    if !matches!(request.method(), "GET" | "HEAD") {
        return refuse(&Refusal::new(405, "only GET is answered here"));
    }
    match hub.guarded(|| route.resource.get(request)) {
        Some(Some(response)) => Verdict::answer(request, response),
        Some(None) => refuse(&Refusal::upgrade_required()),
        None => refuse(&internal_error()),
    }
}

fn connect_verdict(hub: &Hub, request: &Request) -> Result<Verdict, Refusal> {
    let upgrade = check_upgrade(request.head())?;
    let route = hub.routes.find(request.path()).ok_or_else(not_found)?;
    check_origin(&route, request)?;
    if hub.stopping.load(Ordering::Acquire) {
        return Err(Refusal::new(503, "the server is shutting down"));
    }
    if !hub.reserve() {
        return Err(Refusal::new(503, "the server is full"));
    }
    match accept(hub, &route, request) {
        Ok(accept) => Ok(Verdict::Connect { route, accept, upgrade }),
        Err(refusal) => {
            hub.release();
            Err(refusal)
        }
    }
}

fn check_origin(route: &Route, request: &Request) -> Result<(), Refusal> {
    let forbidden = || Refusal::new(403, "this origin may not connect");
    let origin = match request.head().origin().map(str::from_utf8) {
        None => None,
        Some(Ok(origin)) => Some(origin),
        Some(Err(_)) => return Err(forbidden()),
    };
    if route.origin.allows(origin, request.requested_host()) { Ok(()) } else { Err(forbidden()) }
}

fn accept(hub: &Hub, route: &Route, request: &Request) -> Result<Accept, Refusal> {
    let accept = match hub.guarded(|| route.resource.accept(request)) {
        Some(Ok(accept)) => accept,
        Some(Err(Reject { status, reason, .. })) => return Err(Refusal::new(status, reason)),
        None => return Err(internal_error()),
    };
    let offered = |chosen: &str| request.subprotocols().any(|offer| offer == chosen);
    if accept.subprotocol.as_deref().is_some_and(|chosen| !offered(chosen)) {
        tracing::error!(path = %route.path, "accept chose a subprotocol the client did not offer");
        return Err(internal_error());
    }
    Ok(accept)
}

fn not_found() -> Refusal {
    Refusal::new(404, "nothing is served at this path")
}

fn internal_error() -> Refusal {
    Refusal::new(500, "the server failed")
}
