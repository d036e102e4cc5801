//! From received bytes to the user's callbacks.

use super::live::{Live, NO_CODE};
use crate::client::Client;
use crate::hub::Kit;
use crate::resource::{Cause, hear};
use crate::scope;
use crate::send_queue::Lent;
use clws_proto::close::CloseCode;
use clws_proto::connection::Event;
use clws_proto::message::Message;
use std::borrow::Cow;
use std::sync::atomic::Ordering;

impl Live {
    /// Hands the events in `input` to user code, with the queue in scope, until `input` or the
    /// turn's share of messages is used up or the queue is full; returns how many bytes were used.
    #[inline]
    pub(super) fn deliver(&mut self, kit: &mut Kit, input: &mut [u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = input.get_mut(used..).filter(|rest| !rest.is_empty()) {
            if kit.crowded && self.swelling(kit).is_some() {
                kit.share = 0;
            }
            if kit.share == 0 || self.is_paused() {
                break;
            }
            let (count, more) = match self.deliver_whole(kit, rest) {
                (0, _) => self.deliver_next(kit, rest),
                (count, false) => (count, true),
                (count, true) => {
                    used += count;
                    continue;
                }
            };
            used += count;
            if self.control(kit) >= self.limits().send_queue_high || !more {
                break;
            }
        }
        if used == 0 {
            // Nothing was read, but something may be due all the same.
            self.control(kit);
        }
        self.tell_round_trip();
        used
    }

    /// Hands on the messages that stand whole at the front of `input`, until one of them gives the
    /// session something to see to; returns how many bytes these were, and whether none did.
    #[inline]
    fn deliver_whole(&mut self, kit: &mut Kit, input: &mut [u8]) -> (usize, bool) {
        let Some(mut messages) = self.connection.whole_messages(kit.now) else { return (0, true) };
        let (client, mut used, mut quiet, mut fault) = (&self.client, 0, true, None);
        let done = kit.hub.guarded(|| {
            while kit.share > 0
                && let Some(rest) = input.get_mut(used..)
                && let Some(taken) = messages.take(rest)
            {
                match taken {
                    Ok((count, message)) => {
                        used += count;
                        kit.share -= 1;
                        hand_on(client, message);
                    }
                    Err(error) => {
                        used = input.len();
                        fault = Some(error);
                    }
                }
                quiet = !scope::has_news();
                if !quiet || client.is_paused() {
                    break;
                }
            }
        });
        if used > 0 {
            self.spoke(kit.now);
        }
        if let Some(error) = fault {
            self.fault(error);
        } else if done.is_none() {
            self.panicked(kit.now);
        }
        (used, quiet && done.is_some() && fault.is_none())
    }

    /// Hands on what comes next in `input`; returns how many bytes that was, and whether it may go
    /// on behind it.
    #[inline]
    fn deliver_next(&mut self, kit: &mut Kit, input: &mut [u8]) -> (usize, bool) {
        let all = input.len();
        match self.connection.handle_input(kit.now, input, &mut kit.pool) {
            Ok((count, Some(event))) => {
                kit.share -= 1;
                self.handle_event(kit, event);
                (count, true)
            }
            Ok((count, None)) => {
                if count < all {
                    // It has inflated what it may in one turn.
                    kit.share = 0;
                }
                (count, false)
            }
            Err(error) => {
                self.fault(error);
                (all, true)
            }
        }
    }

    #[inline]
    fn tell_round_trip(&self) {
        let (micros, told) = (self.connection.round_trip_micros(), &self.client.0.round_trip);
        if micros != told.load(Ordering::Relaxed) {
            told.store(micros, Ordering::Relaxed);
        }
    }

    #[inline]
    fn handle_event(&mut self, kit: &mut Kit, event: Event<'_>) {
        if matches!(event, Event::Message(_)) {
            self.spoke(kit.now);
        }
        let client = &self.client;
        let done = match event {
            Event::Message(Message::Text(Cow::Owned(text))) => {
                scope::lend_message(Lent::range_of(text.as_bytes()));
                let done = kit.hub.guarded(|| hand_on(client, Message::Text(Cow::Borrowed(&text))));
                scope::queue(|queue| queue.settle_message(text.into_bytes(), &mut kit.pool));
                done
            }
            Event::Message(Message::Binary(Cow::Owned(bytes))) => {
                scope::lend_message(Lent::range_of(&bytes));
                let done =
                    kit.hub.guarded(|| hand_on(client, Message::Binary(Cow::Borrowed(&bytes))));
                scope::queue(|queue| queue.settle_message(bytes, &mut kit.pool));
                done
            }
            Event::Message(message) => kit.hub.guarded(|| hand_on(client, message)),
            // A client that is rejected or closed is not heard any more.
            Event::Pong(_) if !self.connection.is_open() => Some(()),
            Event::Pong(payload) => kit.hub.guarded(|| self.resource().pong(client, &payload)),
            Event::Ping(_) => Some(()),
            Event::Close(code, reason) => {
                self.said = Some(Box::new((code.map_or(NO_CODE, CloseCode::get), reason)));
                self.blame(Cause::Peer);
                Some(())
            }
        };
        if done.is_none() {
            self.panicked(kit.now);
        }
    }
}

/// Calls user code with a message that is lent.
#[inline(always)]
fn hand_on(client: &Client, message: Message<'_>) {
    let (route, resource) = (&client.0.route, &*client.0.route.resource);
    match message {
        Message::Text(text) => hear(resource, route.reads_text, client, &text),
        Message::Unread(text) => resource.unread_text(client, text),
        Message::Binary(bytes) => resource.binary(client, &bytes),
    }
}
