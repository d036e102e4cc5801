//! A handshake whose answer waits for a decision made elsewhere.

use crate::budget::{Charge, Total};
use crate::client::{Courier, Letter, Mail};
use crate::hub::Guard;
use crate::request::Request;
use crate::resource::{Accept, Reject};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// What was decided, on its way back to the session.
#[derive(Debug)]
pub(crate) struct Decision {
    /// `None` when nobody decided.
    pub(crate) decided: Option<(Request, Result<Accept, Reject>)>,
    /// Stands for the request until its session does.
    pub(crate) charge: Charge,
}

/// An opening handshake that waits for [`Pending::decide`], from any thread.
///
/// The handshake's deadline counts on. Dropped without a decision it is answered with 500.
#[derive(Debug)]
pub struct Pending {
    request: Request,
    /// When the client is answered 408.
    deadline: Instant,
    guard: Arc<Guard>,
    reply: Reply,
}

impl Pending {
    pub(crate) fn new(
        request: Request,
        deadline: Instant,
        guard: Arc<Guard>,
        mut reply: Reply,
    ) -> Self {
        // No session counts it while it waits.
        reply.charge.set(size_of::<Self>() + request.memory());
        Self { request, deadline, guard, reply }
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Whether an answer comes too late.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// What the client asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Answers the handshake.
    pub fn decide(self, answer: Result<Accept, Reject>) {
        let Self { request, mut reply, .. } = self;
        reply.send(Some((request, answer)));
    }

    /// Takes the request back; nobody is answered.
    pub(crate) fn withdraw(self) -> Request {
        let Self { request, mut reply, .. } = self;
        reply.courier = None;
        request
    }
}

/// The way back to the session, used once.
pub(crate) struct Reply {
    slot: u32,
    session: u64,
    courier: Option<Arc<dyn Courier>>,
    charge: Charge,
}

impl Reply {
    pub(crate) fn new(
        slot: u32,
        session: u64,
        courier: Arc<dyn Courier>,
        total: &Arc<Total>,
    ) -> Self {
        Self { slot, session, courier: Some(courier), charge: Charge::new(total, 0) }
    }

    fn send(&mut self, decided: Option<(Request, Result<Accept, Reject>)>) {
        if let Some(courier) = self.courier.take() {
            let charge = self.charge.take();
            let mail = Mail::Decided(Box::new(Decision { decided, charge }));
            courier.deliver(Letter { to: (self.slot, self.session), mail });
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // The request is gone already.
        self.charge.set(0);
        self.send(None);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("session", &self.session).finish_non_exhaustive()
    }
}
