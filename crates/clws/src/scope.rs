//! The client whose callback runs on this thread, so that its sends need no lock and no wake.
//!
//! While a session hands events to user code, its send queue lies here. A send to that client from
//! that thread goes straight into the queue and leaves with everything else the received bytes
//! brought about, in one write. Every other send takes the way through the worker's mailbox.

use crate::send_queue::{Lent, SendQueue};
use clws_proto::deflate::Contexts;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::Range;

/// What lies in reach of a callback.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The address of what the client's handles share: unlike its number, no client of another
    /// server has it.
    client: usize,
    pub(crate) queue: Box<SendQueue>,
    /// The history that the client's messages are compressed with.
    pub(crate) contexts: Option<Box<Contexts>>,
    pub(crate) lent: Lent,
}

impl Scope {
    /// `input` is the receive buffer that callbacks are lent.
    pub(crate) fn new(
        client: usize,
        queue: Box<SendQueue>,
        contexts: Option<Box<Contexts>>,
        input: &[u8],
    ) -> Self {
        let lent = Lent { input: Lent::range_of(input), message: 0..0 };
        Self { client, queue, contexts, lent }
    }
}

thread_local! {
    // What has to be dropped when its thread ends is asked each time whether it was; this is empty
    // then.
    static SCOPE: RefCell<ManuallyDrop<Option<Scope>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Puts a client's queue in reach of its callbacks.
#[inline]
pub(crate) fn enter(scope: Scope) {
    SCOPE.with_borrow_mut(|place| *place = ManuallyDrop::new(Some(scope)));
}

/// Takes everything back.
#[inline]
pub(crate) fn leave() -> Scope {
    SCOPE.with_borrow_mut(|scope| scope.take()).unwrap_or_default()
}

/// Names the memory of a message that was put together outside the receive buffer.
pub(crate) fn lend_message(message: Range<usize>) {
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = &mut **scope {
            scope.lent.message = message;
        }
    });
}

/// The queue of the client whose callback runs here, for the session itself.
#[inline]
pub(crate) fn queue<T>(then: impl FnOnce(&mut SendQueue) -> T) -> Option<T> {
    SCOPE.with_borrow_mut(|scope| scope.as_mut().map(|scope| then(&mut scope.queue)))
}

/// Whether what a callback did is something for the session to look at before the next event.
#[inline]
pub(crate) fn has_news() -> bool {
    SCOPE.with_borrow(|scope| scope.as_ref().is_none_or(|scope| scope.queue.has_news()))
}

/// The scope, if it is this client's callback that runs here.
#[inline]
pub(crate) fn queue_of<T>(client: usize, then: impl FnOnce(&mut Scope) -> T) -> Option<T> {
    SCOPE.with_borrow_mut(|scope| match &mut **scope {
        Some(scope) if scope.client == client => Some(then(scope)),
        _ => None,
    })
}
