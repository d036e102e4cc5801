//! A handshake whose answer waits for a decision made elsewhere.

use crate::client::{Courier, Letter, Mail};
use crate::request::Request;
use crate::resource::{Accept, Reject};
use std::fmt;
use std::sync::Arc;

/// What was decided, on its way back to the session.
#[derive(Debug)]
pub(crate) struct Decision {
    /// `None` when nobody decided.
    pub(crate) decided: Option<(Request, Result<Accept, Reject>)>,
}

/// An opening handshake that waits for [`Pending::decide`], from any thread.
///
/// The handshake's deadline counts on. Dropped without a decision it is answered with 500.
#[derive(Debug)]
pub struct Pending {
    request: Request,
    reply: Reply,
}

impl Pending {
    pub(crate) fn new(
        request: Request,
        slot: u32,
        session: u64,
        courier: Arc<dyn Courier>,
    ) -> Self {
        Self { request, reply: Reply { slot, session, courier: Some(courier) } }
    }

    /// What the client asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Answers the handshake.
    pub fn decide(self, answer: Result<Accept, Reject>) {
        let Self { request, mut reply } = self;
        reply.send(Some((request, answer)));
    }

    /// Takes the request back; nobody is answered.
    pub(crate) fn withdraw(self) -> Request {
        let Self { request, mut reply } = self;
        reply.courier = None;
        request
    }
}

/// The way back to the session, used once.
struct Reply {
    slot: u32,
    session: u64,
    courier: Option<Arc<dyn Courier>>,
}

impl Reply {
    fn send(&mut self, decided: Option<(Request, Result<Accept, Reject>)>) {
        if let Some(courier) = self.courier.take() {
            let mail = Mail::Decided(Box::new(Decision { decided }));
            courier.deliver(Letter { slot: self.slot, client: self.session, mail });
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(None);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("session", &self.session).finish_non_exhaustive()
    }
}
