//! The opening handshake of a session: from the first byte to the 101, a page or a refusal.

use super::live::Live;
use super::wire::Wire;
use super::{Output, Phase, Session, Stash};
use crate::budget::Holding;
use crate::client::{Client, Mail, Shared};
use crate::encode::Deflating;
use crate::hub::{Hub, Kit, Place};
use crate::peer::Peer;
use crate::pending::{Decision, Pending, Reply};
use crate::request::Request;
use crate::resource::{Accept, Reject};
use crate::routes::Route;
use clws_proto::deflate::{self, Agreed, Contexts, DeflateConfig, Side};
use clws_proto::handshake::{self, Refusal, RequestReader, Response, check_upgrade};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

/// A request that is arriving.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) received: Vec<u8>,
    /// A header of the PROXY protocol has to come first.
    pub(super) awaits_header: bool,
    reader: RequestReader,
    pub(super) deadline: Instant,
    forgiven: bool,
    /// What awaits a decision made elsewhere; what `received` holds then is for later.
    waiting: Option<Ready>,
    /// The peer said meanwhile that nothing more comes.
    pub(super) ended: bool,
}

impl Opening {
    pub(super) fn new(hub: &Hub, deadline: Instant, awaits_header: bool) -> Self {
        let reader = RequestReader::with_versions(hub.versions);
        Self {
            received: Vec::new(),
            awaits_header,
            reader,
            deadline,
            forgiven: false,
            waiting: None,
            ended: false,
        }
    }

    /// Gives it until `deadline`, but once only: a server that is often late must not keep peers
    /// for ever that say nothing.
    pub(super) fn forgive(&mut self, deadline: Instant) {
        if !std::mem::replace(&mut self.forgiven, true) {
            self.deadline = deadline;
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn holding(&self) -> Holding {
        Holding { kept: size_of::<Self>(), waiting: self.received.capacity(), shared: 0 }
    }

    /// Keeps bytes for when the decision has come.
    pub(super) fn put_off(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }
}

/// A handshake that is in order; only the resource has still to agree.
#[derive(Debug)]
struct Ready {
    route: Arc<Route>,
    upgrade: handshake::Upgrade,
    agreed: Option<Agreed>,
    place: Place,
}

/// What a request comes to.
enum Verdict {
    Connect(Ready),
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
        let tls = self.tls.as_ref().map(|tls| tls.info());
        let client = kit.hub.proxies.client(self.peer, head.header_values("x-forwarded-for"));
        if client != self.peer && self.count(kit, client).is_err() {
            return self.refuse_now(kit, &Refusal::new(503, "too many connections"), out);
        }
        let request = Request::new(head, client, tls);
        match decide(&kit.hub, &request, self.peer) {
            Verdict::Connect(ready) => self.ask_resource(kit, request, ready, rest, out),
            Verdict::Answer { response, head_only } => {
                self.respond(kit, &response, head_only);
                self.handle_writable(kit, out);
            }
        }
    }

    fn ask_resource(
        &mut self,
        kit: &mut Kit,
        request: Request,
        ready: Ready,
        rest: &mut [u8],
        out: &mut dyn Output,
    ) {
        let deadline = self.deadline().unwrap_or(kit.now);
        let (courier, total) = (Arc::clone(&kit.courier), kit.hub.budget.total());
        let reply = Reply::new(self.slot, self.id, courier, total);
        let pending = Pending::new(request, deadline, Arc::clone(&kit.hub.guard), reply);
        let resource = &ready.route.resource;
        let answer = match kit.hub.guarded(|| resource.accept_later(pending)) {
            Some(Some(pending)) => {
                let request = pending.withdraw();
                kit.hub.guarded(|| resource.accept(&request)).map(|accept| (request, accept))
            }
            Some(None) => {
                if let Phase::Opening(opening) = &mut self.phase {
                    opening.received = rest.to_vec();
                    opening.waiting = Some(ready);
                }
                return;
            }
            None => None,
        };
        self.conclude(kit, ready, answer);
        if matches!(self.phase, Phase::Live(_)) {
            self.handle_plain(kit, rest, out);
        } else {
            self.handle_writable(kit, out);
        }
    }

    pub(super) fn handle_opening_mail(&mut self, kit: &mut Kit, mail: Mail) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        let Mail::Decided(decision) = mail else { return };
        let Some(ready) = opening.waiting.take() else { return };
        let (received, ended) = (std::mem::take(&mut opening.received), opening.ended);
        let Decision { decided, charge } = *decision;
        self.conclude(kit, ready, decided);
        drop(charge);
        if (ended || !received.is_empty()) && matches!(self.phase, Phase::Live(_)) {
            self.stash = Some(Box::new(Stash { bytes: received, used: 0, ended }));
        }
    }

    /// Connects the client or turns it away, as the resource decided; `None` if it panicked.
    fn conclude(
        &mut self,
        kit: &mut Kit,
        ready: Ready,
        answer: Option<(Request, Result<Accept, Reject>)>,
    ) {
        let Some((request, answer)) = answer else { return self.refuse(kit, &internal_error()) };
        match answer.map_err(Refusal::from).and_then(|accept| check_accept(accept, &request)) {
            Ok(accept) => self.connect(kit, request, accept, ready),
            Err(refusal) => self.refuse(kit, &refusal),
        }
    }

    fn connect(&mut self, kit: &mut Kit, request: Request, accept: Accept, ready: Ready) {
        let Ready { route, upgrade, agreed, place } = ready;
        let upgrade = upgrade.with_tls(self.tls.is_some());
        let Accept { subprotocol, mut headers, data } = accept;
        if let Some(agreed) = &agreed {
            headers.push_extensions(agreed);
        }
        let mut queue = kit.queue();
        if upgrade.write_response(subprotocol.as_deref(), &headers, queue.room(0)).is_err() {
            kit.give_queue(queue);
            return self.refuse(kit, &internal_error());
        }
        self.queue = Some(queue);
        let hub = &kit.hub;
        let (limits, config) = route
            .own_limits
            .clone()
            .unwrap_or_else(|| (Arc::clone(&hub.limits), Arc::clone(&hub.config)));
        let settings = deflate_settings(hub, &route);
        let deflate =
            agreed.map(|agreed| Deflating::new(agreed, settings.min_size, settings.level));
        let client = Client(Arc::new(Shared {
            id: self.id,
            slot: self.slot,
            courier: Arc::clone(&kit.courier),
            route,
            guard: Arc::clone(&hub.guard),
            limits,
            request,
            version: upgrade.version(),
            subprotocol: subprotocol.map(String::into_boxed_str),
            deflate,
            data,
            open: AtomicBool::new(true),
            gone: AtomicBool::new(false),
            paused: AtomicU8::new(0),
            pressed: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            round_trip: AtomicU32::new(0),
            letters: AtomicU32::new(0),
        }));
        let contexts = || agreed.map(|agreed| Contexts::new(&agreed, Side::Server));
        let (version, reads_text) = (client.0.version, client.0.route.reads_text);
        let wire = Wire::server(version, config, contexts(), reads_text, kit.now);
        // Without takeover senders compress by themselves, and nothing is kept here.
        let own = contexts().filter(|contexts| contexts.shared_window_bits().is_none());
        self.phase = Phase::Live(Live::new(client, wire, own.map(Box::new), place, kit.now));
    }

    pub(super) fn opening_timeout(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        match &self.phase {
            // A peer that said nothing is told nothing.
            Phase::Opening(opening) if opening.received.is_empty() && opening.waiting.is_none() => {
                self.phase = Phase::Gone { abort: false };
            }
            _ => self.refuse_now(kit, &Refusal::new(408, "the request took too long"), out),
        }
    }

    pub(super) fn refuse_now(&mut self, kit: &mut Kit, refusal: &Refusal, out: &mut dyn Output) {
        self.refuse(kit, refusal);
        self.handle_writable(kit, out);
    }

    pub(super) fn refuse(&mut self, kit: &mut Kit, refusal: &Refusal) {
        self.respond(kit, &Response::from(refusal), false);
    }

    fn respond(&mut self, kit: &mut Kit, response: &Response, head_only: bool) {
        if self.is_in_tls_handshake() {
            // Nothing can be said yet.
            self.phase = Phase::Gone { abort: false };
            return;
        }
        let status = response.status();
        if status >= 400 {
            tracing::debug!(client = self.id, status, "handshake refused");
            kit.hub.counters.refused.add(1);
        }
        let mut queue = kit.queue();
        response.write_to(head_only, queue.room(0));
        self.queue = Some(queue);
        let until = kit.now + kit.hub.limits.close_timeout;
        self.phase = Phase::Ending { until, half_closed: false, heard_end: false };
    }
}

fn decide(hub: &Arc<Hub>, request: &Request, peer: Peer) -> Verdict {
    // Not by a forwarded address: a foreign page can have its browser send that header.
    if !hub.hosts.allows(request.requested_host(), peer.host) {
        let refusal = Refusal::new(421, "this host name is not served here");
        return Verdict::refuse(request, &refusal);
    }
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

fn connect_verdict(hub: &Arc<Hub>, request: &Request) -> Result<Verdict, Refusal> {
    let upgrade = check_upgrade(request.head())?;
    let route = hub.routes.find(request.path()).ok_or_else(not_found)?;
    check_origin(&route, request)?;
    if hub.stopping.load(Ordering::Acquire) {
        return Err(shutting_down(hub));
    }
    if hub.budget.is_full() {
        hub.counters.memory_refused.add(1);
        return Err(Refusal::new(503, "the server is short of memory"));
    }
    let offers = request.head().header_values("sec-websocket-extensions");
    let agreed = if upgrade.version().is_framed() {
        deflate::negotiate(offers, deflate_settings(hub, &route))
            .map_err(|_| Refusal::new(400, "the extension offers are malformed"))?
    } else {
        None
    };
    let place = hub.reserve().ok_or_else(|| Refusal::new(503, "the server is full"))?;
    Ok(Verdict::Connect(Ready { route, upgrade, agreed, place }))
}

fn deflate_settings<'a>(hub: &'a Hub, route: &'a Route) -> &'a DeflateConfig {
    route.own_deflate.as_ref().unwrap_or(&hub.deflate)
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

impl From<Reject> for Refusal {
    fn from(Reject { status, reason, .. }: Reject) -> Self {
        Self::new(status, reason)
    }
}

/// A subprotocol that was not offered would make the client fail the connection (§4.1).
fn check_accept(accept: Accept, request: &Request) -> Result<Accept, Refusal> {
    let offered = |chosen: &str| request.subprotocols().any(|offer| offer == chosen);
    if accept.subprotocol.as_deref().is_some_and(|chosen| !offered(chosen)) {
        tracing::error!("accept chose a subprotocol that the client did not offer");
        return Err(internal_error());
    }
    Ok(accept)
}

fn not_found() -> Refusal {
    Refusal::new(404, "nothing is served at this path")
}

/// The answer to a handshake that the end of the server finds unfinished.
pub(super) fn shutting_down(hub: &Hub) -> Refusal {
    hub.tally.refused.add(1);
    Refusal::new(503, "the server is shutting down")
}

fn internal_error() -> Refusal {
    Refusal::new(500, "the server failed")
}
