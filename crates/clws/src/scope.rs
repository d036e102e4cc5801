//! The client whose callback runs on this thread, so that its sends need no lock and no wake.
//!
//! While a session hands events to user code, its send queue lies here. A send to that client from
//! that thread goes straight into the queue and leaves with everything else the received bytes
//! brought about, in one write. Every other send takes the way through the worker's mailbox.

use crate::send_queue::{Lent, SendQueue};
use std::cell::RefCell;
use std::ops::Range;

#[derive(Debug)]
struct Scope {
    client: usize,
    queue: Box<SendQueue>,
    lent: Lent,
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Puts a client's queue in reach of its callbacks; `input` is the receive buffer they are lent.
///
/// `client` is the address of what its handles share: unlike its number, no client of another
/// server has it.
pub(crate) fn enter(client: usize, queue: Box<SendQueue>, input: &[u8]) {
    let lent = Lent { input: Lent::range_of(input), message: 0..0 };
    SCOPE.with_borrow_mut(|scope| *scope = Some(Scope { client, queue, lent }));
}

/// Takes the queue back.
pub(crate) fn leave() -> Box<SendQueue> {
    SCOPE.with_borrow_mut(|scope| scope.take().map(|scope| scope.queue)).unwrap_or_default()
}

/// Names the memory of a message that was put together outside the receive buffer.
pub(crate) fn lend_message(message: Range<usize>) {
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = scope {
            scope.lent.message = message;
        }
    });
}

/// The queue of the client whose callback runs here, for the session itself.
#[inline]
pub(crate) fn queue<T>(then: impl FnOnce(&mut SendQueue) -> T) -> Option<T> {
    SCOPE.with_borrow_mut(|scope| scope.as_mut().map(|scope| then(&mut scope.queue)))
}

/// The queue of `client`, if it is this client's callback that runs here.
#[inline]
pub(crate) fn queue_of<T>(
    client: usize,
    then: impl FnOnce(&mut SendQueue, &Lent) -> T,
) -> Option<T> {
    SCOPE.with_borrow_mut(|scope| match scope {
        Some(scope) if scope.client == client => Some(then(&mut scope.queue, &scope.lent)),
        _ => None,
    })
}
