//! Sending: what a client is told, what becomes of it, and one message to many clients.

use crate::budget::{Counted, Total};
use crate::client::{Circular, Client, Copies, Courier, Mail, Message};
use crate::encode::{Form, plain_len, write_takeover};
use crate::limits::SendPolicy;
use crate::scope::{self, Scope};
use crate::send_queue::SendQueue;
use clws_proto::frame::{FrameHeader, MAX_CONTROL, OpCode};
use clws_proto::text::Text;
use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How far above its high mark a send queue takes control frames, in bytes.
const CONTROL_ROOM: usize = 64 * 1024;
/// How many addresses of a message to many there is room for from the start, at most: a megabyte.
const MAX_EXPECTED: usize = 64 * 1024;

/// What became of a message or a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On its way: it is written in its turn, unless the connection ends before. No outcome says
    /// that it arrived; a peer that closes at this very moment may have been the quicker one.
    Sent,
    /// On its way, but the client's send queue has reached its high mark: wait for
    /// [`Resource::drained`](crate::Resource::drained) before you send more.
    Backpressure,
    /// Not sent.
    Dropped(Dropped),
}

impl Outcome {
    /// Whether the message is on its way.
    pub fn is_sent(self) -> bool {
        !matches!(self, Self::Dropped(_))
    }
}

/// Why a message or a ping was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// The client is closed or closing.
    Closed,
    /// The send queue was at its high mark; the client is closed for it
    /// ([`SendPolicy::Disconnect`]).
    Overrun,
    /// The send queue was at its high mark, and the policy is to drop.
    QueueFull,
    /// A ping of more than 125 bytes (RFC 6455 §5.5).
    TooLong,
    /// The client's protocol version has no such thing: binary messages or pings in draft 76.
    Unsupported,
    /// Bytes that were to be sent as text are not UTF-8.
    InvalidUtf8,
}

/// How a message is sent, where the usual way is not wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    frame_size: Option<usize>,
    uncompressed: bool,
}

impl SendOptions {
    /// One frame, compressed where that was agreed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends fragments of at most so many bytes, at least one (RFC 6455 §5.4). Versions without
    /// fragments get the message whole.
    pub fn frame_size(mut self, bytes: usize) -> Self {
        self.frame_size = Some(bytes.max(1));
        self
    }

    /// Does not compress the message, for one that is compressed already or holds a secret beside
    /// what an attacker chose.
    pub fn uncompressed(mut self) -> Self {
        self.uncompressed = true;
        self
    }
}

/// What became of a message to many clients.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Broadcast {
    /// To how many clients it is on its way.
    pub sent: usize,
    /// How many of these have reached the high mark of their send queue.
    pub backpressure: usize,
    /// Who does not get it, and why.
    pub dropped: Vec<(Client, Dropped)>,
}

/// Sends one text message to many clients; it is encoded once for each wire form among them.
pub fn send_text_to<I: IntoIterator<Item: Borrow<Client>>>(clients: I, text: &str) -> Broadcast {
    send_to(clients, OpCode::Text, text.as_bytes(), SendOptions::default())
}

/// Sends one text message to many clients as the options say.
pub fn send_text_to_with<I: IntoIterator<Item: Borrow<Client>>>(
    clients: I,
    text: &str,
    options: SendOptions,
) -> Broadcast {
    send_to(clients, OpCode::Text, text.as_bytes(), options)
}

/// Sends one text message that nobody has read to many clients, as [`send_text_to`] does.
pub fn send_unread_to<I: IntoIterator<Item: Borrow<Client>>>(
    clients: I,
    text: Text<'_>,
) -> Broadcast {
    send_to(clients, OpCode::Text, text.as_bytes(), SendOptions::default())
}

/// Sends one binary message to many clients; it is encoded once for each wire form among them.
/// Those whose version has no binary messages are named in the result.
pub fn send_binary_to<I: IntoIterator<Item: Borrow<Client>>>(
    clients: I,
    bytes: &[u8],
) -> Broadcast {
    send_to(clients, OpCode::Binary, bytes, SendOptions::default())
}

/// Sends one binary message to many clients as the options say.
pub fn send_binary_to_with<I: IntoIterator<Item: Borrow<Client>>>(
    clients: I,
    bytes: &[u8],
    options: SendOptions,
) -> Broadcast {
    send_to(clients, OpCode::Binary, bytes, options)
}

impl Client {
    /// Sends a text message in one frame.
    pub fn send_text(&self, message: &str) -> Outcome {
        self.send(OpCode::Text, message.as_bytes(), SendOptions::default())
    }

    /// Sends a text message that is there as bytes; they are checked.
    pub fn send_text_bytes(&self, message: &[u8]) -> Outcome {
        match clws_proto::utf8::check(message) {
            Ok(text) => self.send_text(text),
            Err(_) => Outcome::Dropped(Dropped::InvalidUtf8),
        }
    }

    /// Sends a text message that nobody has read; see
    /// [`Resource::reads_text`](crate::Resource::reads_text).
    pub fn send_unread(&self, message: Text<'_>) -> Outcome {
        self.send(OpCode::Text, message.as_bytes(), SendOptions::default())
    }

    /// Sends a text message as the options say.
    pub fn send_text_with(&self, message: &str, options: SendOptions) -> Outcome {
        self.send(OpCode::Text, message.as_bytes(), options)
    }

    /// Sends a text message in fragments of at most `frame_size` bytes.
    pub fn send_text_fragmented(&self, message: &str, frame_size: usize) -> Outcome {
        self.send_text_with(message, SendOptions::new().frame_size(frame_size))
    }

    /// Sends a binary message in one frame.
    pub fn send_binary(&self, message: &[u8]) -> Outcome {
        self.send(OpCode::Binary, message, SendOptions::default())
    }

    /// Sends a binary message as the options say.
    pub fn send_binary_with(&self, message: &[u8], options: SendOptions) -> Outcome {
        self.send(OpCode::Binary, message, options)
    }

    /// Sends a binary message in fragments of at most `frame_size` bytes.
    pub fn send_binary_fragmented(&self, message: &[u8], frame_size: usize) -> Outcome {
        self.send_binary_with(message, SendOptions::new().frame_size(frame_size))
    }

    /// Sends a ping of at most 125 bytes; the answer comes to
    /// [`Resource::pong`](crate::Resource::pong).
    pub fn ping(&self, payload: &[u8]) -> Outcome {
        if payload.len() > MAX_CONTROL {
            return Outcome::Dropped(Dropped::TooLong);
        }
        self.send(OpCode::Ping, payload, SendOptions::default())
    }

    #[inline]
    fn send(&self, opcode: OpCode, payload: &[u8], options: SendOptions) -> Outcome {
        let form = self.form(opcode, payload.len(), options);
        let common = form == Form::Plain && options.frame_size.is_none() && !opcode.is_control();
        if common
            && self.no_letters_under_way()
            && let Some(true) = scope::queue_of(self.address(), |Scope { queue, lent, .. }| {
                queue.push_below(self.0.limits.send_queue_low, opcode, payload, lent)
            })
        {
            return Outcome::Sent;
        }
        self.send_any(form, opcode, payload, options)
    }

    fn send_any(
        &self,
        form: Form,
        opcode: OpCode,
        payload: &[u8],
        options: SendOptions,
    ) -> Outcome {
        if !self.can_send(opcode) {
            return Outcome::Dropped(Dropped::Unsupported);
        }
        let done = if self.no_letters_under_way() {
            scope::queue_of(self.address(), |scope| {
                self.send_direct(scope, form, opcode, payload, options)
            })
        } else {
            None
        };
        done.unwrap_or_else(|| self.send_by_mail(form, opcode, payload, options))
    }

    fn can_send(&self, opcode: OpCode) -> bool {
        let version = self.0.version;
        version.is_framed()
            || match opcode {
                OpCode::Binary => version.has_binary(),
                OpCode::Ping => version.has_ping(),
                _ => true,
            }
    }

    #[inline]
    fn form(&self, opcode: OpCode, len: usize, options: SendOptions) -> Form {
        let compress = !options.uncompressed;
        Form::of(self.0.version, self.0.deflate.as_ref(), opcode, len, compress)
    }

    /// Sends from the client's own callback: straight into its queue.
    fn send_direct(
        &self,
        scope: &mut Scope,
        form: Form,
        opcode: OpCode,
        payload: &[u8],
        options: SendOptions,
    ) -> Outcome {
        let high = self.0.limits.send_queue_high;
        let queue = &mut scope.queue;
        if !queue.open {
            return Outcome::Dropped(Dropped::Closed);
        }
        if queue.len() >= high
            && let Err(dropped) = self.make_room(queue, form, opcode)
        {
            return Outcome::Dropped(dropped);
        }
        queue.spoke |= !opcode.is_control();
        if self.is_droppable(queue.len(), form, opcode) {
            let mut frames = Vec::with_capacity(plain_len(payload));
            form.write(opcode, payload, options.frame_size, &mut frames);
            queue.push_droppable(frames);
            return Self::after_push(queue, high);
        }
        match (form, options.frame_size, &mut scope.contexts, self.0.deflate) {
            (Form::Plain, None, ..) => {
                queue.push(&FrameHeader::new(opcode, payload.len()), payload, &scope.lent);
            }
            (Form::Takeover, size, Some(contexts), Some(deflating)) => {
                let out = queue.room(plain_len(payload));
                write_takeover(contexts, deflating.level, opcode, payload, size, out);
            }
            (form, size, ..) => form.write(opcode, payload, size, queue.room(plain_len(payload))),
        }
        Self::after_push(queue, high)
    }

    fn after_push(queue: &mut SendQueue, high: usize) -> Outcome {
        if queue.len() >= high {
            queue.pressed = true;
            return Outcome::Backpressure;
        }
        Outcome::Sent
    }

    /// Applies the policy to a queue that is at its high mark.
    #[cold]
    fn make_room(&self, queue: &mut SendQueue, form: Form, opcode: OpCode) -> Result<(), Dropped> {
        let limits = &self.0.limits;
        if opcode.is_control() && queue.len() < limits.send_queue_high + CONTROL_ROOM {
            return Ok(());
        }
        match limits.send_policy {
            _ if opcode.is_control() => Err(Dropped::QueueFull),
            SendPolicy::Disconnect => {
                queue.open = false;
                queue.overrun = true;
                Err(Dropped::Overrun)
            }
            SendPolicy::DropOldest if form != Form::Takeover => {
                while queue.len() >= limits.send_queue_high && queue.drop_oldest() {
                    self.0.guard.count_dropped();
                }
                if queue.len() < limits.send_queue_high { Ok(()) } else { self.drop_newest() }
            }
            _ => self.drop_newest(),
        }
    }

    fn drop_newest(&self) -> Result<(), Dropped> {
        self.0.guard.count_dropped();
        Err(Dropped::QueueFull)
    }

    /// Whether a message is queued so that a newer one can take its place.
    #[inline]
    pub(crate) fn is_droppable(&self, waiting: usize, form: Form, opcode: OpCode) -> bool {
        let limits = &self.0.limits;
        limits.send_policy == SendPolicy::DropOldest
            && waiting > limits.send_queue_low
            && form != Form::Takeover
            && !opcode.is_control()
    }

    fn send_by_mail(
        &self,
        form: Form,
        opcode: OpCode,
        payload: &[u8],
        options: SendOptions,
    ) -> Outcome {
        // What does not fit is not encoded, so it is counted before it is known how small
        // compressing makes it.
        let charge = plain_len(payload);
        let pressed = match self.admit(charge, form, opcode) {
            Ok(pressed) => pressed,
            Err(dropped) => return Outcome::Dropped(dropped),
        };
        let mail = if form == Form::Takeover {
            let frame_size = options.frame_size;
            let message = Message { opcode, payload: payload.into(), frame_size };
            Mail::Message(message.counted(&self.0.guard.total))
        } else {
            let mut frames = Vec::with_capacity(payload.len() + 10);
            form.write(opcode, payload, options.frame_size, &mut frames);
            self.recount(charge, frames.len());
            Mail::Frames(frames)
        };
        self.post(mail);
        if pressed { Outcome::Backpressure } else { Outcome::Sent }
    }

    /// Counts bytes that are about to be sent from elsewhere; whether they reach the high mark.
    fn admit(&self, charge: usize, form: Form, opcode: OpCode) -> Result<bool, Dropped> {
        let shared = &*self.0;
        if !self.is_open() {
            return Err(Dropped::Closed);
        }
        let high = shared.limits.send_queue_high;
        let before = shared.queued.fetch_add(charge, Ordering::Relaxed);
        let policy = shared.limits.send_policy;
        let most = match policy {
            _ if opcode.is_control() => high + CONTROL_ROOM,
            // The session drops older ones when the letter arrives; what is on its way is bounded.
            SendPolicy::DropOldest if form != Form::Takeover => high.saturating_mul(2),
            _ => high,
        };
        if before >= most {
            shared.queued.fetch_sub(charge, Ordering::Relaxed);
            if opcode.is_control() {
                return Err(Dropped::QueueFull);
            }
            if policy != SendPolicy::Disconnect {
                self.drop_newest()?;
            }
            if shared.open.swap(false, Ordering::AcqRel) {
                self.post(Mail::Overrun);
            }
            return Err(Dropped::Overrun);
        }
        let pressed = before + charge >= high;
        if pressed {
            // Before the letter, so that the session sees it with the letter.
            shared.pressed.store(true, Ordering::Release);
        }
        Ok(pressed)
    }

    /// Corrects the count from what was charged to what goes out.
    fn recount(&self, charged: usize, len: usize) {
        let queued = &self.0.queued;
        if len >= charged {
            queued.fetch_add(len - charged, Ordering::Relaxed);
        } else {
            queued.fetch_sub(charged - len, Ordering::Relaxed);
        }
    }
}

/// The encodings of one message that were needed so far, each with what it is charged.
struct Encodings<'a> {
    opcode: OpCode,
    payload: &'a [u8],
    frame_size: Option<usize>,
    made: Vec<(Form, Copies, usize)>,
}

impl Encodings<'_> {
    /// `total` is where it is counted.
    fn of(&mut self, form: Form, total: &Arc<Total>) -> (&Copies, usize) {
        let known = self.made.iter().position(|(one, ..)| *one == form);
        let index = known.unwrap_or_else(|| {
            let (copies, charge) = self.make(form, total);
            self.made.push((form, copies, charge));
            self.made.len() - 1
        });
        let (_, copies, charge) = &self.made[index];
        (copies, *charge)
    }

    fn make(&self, form: Form, total: &Arc<Total>) -> (Copies, usize) {
        let Self { opcode, payload, frame_size, .. } = *self;
        if form == Form::Takeover {
            let message = Message { opcode, payload: payload.into(), frame_size };
            return (Copies::Message(message.counted(total)), plain_len(payload));
        }
        let mut frames = Vec::with_capacity(payload.len() + 10);
        form.write(opcode, payload, frame_size, &mut frames);
        let len = frames.len();
        let frames = Counted::new(frames.into_boxed_slice(), len, total);
        (Copies::Frames(Arc::new(frames)), len)
    }
}

/// What goes to each worker, so that each is locked and woken once for each wire form.
struct Rounds {
    /// How many clients there will be in all, as far as that is known.
    expected: usize,
    by_worker: Vec<(Arc<dyn Courier>, Form, Circular)>,
}

impl Rounds {
    fn add(&mut self, client: &Client, form: Form, copies: &Copies) {
        client.0.letters.fetch_add(1, Ordering::Release);
        let (courier, to) = (&client.0.courier, client.session());
        let mut known = self.by_worker.iter_mut();
        if let Some((.., circular)) =
            known.find(|(one, of, _)| Arc::ptr_eq(one, courier) && *of == form)
        {
            return circular.add(to);
        }
        let mut addresses = Vec::with_capacity(self.expected.clamp(1, MAX_EXPECTED));
        addresses.push(to);
        let circular = Circular::new(copies.clone(), addresses);
        self.by_worker.push((Arc::clone(courier), form, circular));
    }

    fn deliver(self) {
        for (courier, _, circular) in self.by_worker {
            courier.deliver_all(circular);
        }
    }
}

fn send_to<I: IntoIterator<Item: Borrow<Client>>>(
    clients: I,
    opcode: OpCode,
    payload: &[u8],
    options: SendOptions,
) -> Broadcast {
    let frame_size = options.frame_size;
    let mut encodings = Encodings { opcode, payload, frame_size, made: Vec::new() };
    let clients = clients.into_iter();
    let mut rounds = Rounds { expected: clients.size_hint().0, by_worker: Vec::new() };
    let mut report = Broadcast::default();
    for client in clients {
        let client = client.borrow();
        if !client.can_send(opcode) {
            report.dropped.push((client.clone(), Dropped::Unsupported));
            continue;
        }
        let form = client.form(opcode, payload.len(), options);
        let (copies, charge) = encodings.of(form, &client.0.guard.total);
        match client.admit(charge, form, opcode) {
            Ok(pressed) => {
                report.sent += 1;
                report.backpressure += usize::from(pressed);
                rounds.add(client, form, copies);
            }
            Err(dropped) => report.dropped.push((client.clone(), dropped)),
        }
    }
    rounds.deliver();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_many_is_encoded_once_for_each_form() {
        let payload = vec![b'x'; 5000];
        let (opcode, made) = (OpCode::Text, Vec::new());
        let mut encodings = Encodings { opcode, payload: &payload, frame_size: None, made };
        let deflated = Form::Deflated { window_bits: 15, level: 1 };
        let forms = [Form::Plain, Form::Hixie76, deflated, Form::Takeover];
        let total = Arc::default();
        for number in 0..4000 {
            let (copies, charge) = encodings.of(forms[number % 4], &total);
            match copies.one() {
                Mail::Shared(frames) => assert_eq!(frames.len(), charge),
                Mail::Message(message) => assert_eq!(plain_len(&message.payload), charge),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(encodings.made.len(), 4, "the history of a client is its own");
        assert!((15_000..25_000).contains(&total.bytes()), "{} bytes, once each", total.bytes());
    }

    #[test]
    fn messages_to_the_same_clients_in_a_row_are_one_letter() {
        let total = Arc::default();
        let circular = |number: u8, last: u64| {
            let frames = Counted::new(Box::from([number]), 1, &total);
            Circular::new(Copies::Frames(Arc::new(frames)), vec![(0, 7), (3, last)])
        };
        let numbers = |circular: &Circular| -> Vec<(u64, Vec<u8>)> {
            let number = |mail: Mail| mail.frames().unwrap()[0];
            let round = |((_, id), mails)| (id, Iterator::map(mails, number).collect());
            circular.rounds().map(round).collect()
        };
        let mut first = circular(1, 9);
        assert!(first.join(circular(2, 9)).is_ok());
        assert_eq!(numbers(&first), [(7, vec![1, 2]), (9, vec![1, 2])]);
        let other = first.join(circular(3, 10)).unwrap_err();
        assert_eq!(numbers(&other), [(7, vec![3]), (10, vec![3])]);
    }
}
