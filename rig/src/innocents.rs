//! The innocents: clients that echo numbered messages, each at its steady pace, and miss nothing.
//!
//! A message holds its client's number, its own number and bytes that follow from both, so that one
//! that is lost, repeated, reordered, damaged or foreign is known. Time runs from when a message
//! was due, so that a server that makes everybody wait can't hide it. Pings are answered.

use crate::Result;
use crate::crowd::{Crowd, Member};
use crate::random::Random;
use crate::wire;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many there are.
pub(crate) const COUNT: usize = 200;
/// How often each says something.
const PERIOD: Duration = Duration::from_millis(100);
/// How long answers are waited for before they count as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the innocents met since they were last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: usize,
    pub(crate) lost: usize,
    pub(crate) repeated: usize,
    pub(crate) reordered: usize,
    pub(crate) foreign: usize,
    pub(crate) damaged: usize,
    pub(crate) disconnected: usize,
    /// Of each answer, in seconds; in order once the tally is given away.
    times: Vec<f64>,
}

impl Tally {
    /// Everything that must not happen.
    pub(crate) fn wrongs(&self) -> usize {
        let mixed = self.repeated + self.reordered + self.foreign + self.damaged;
        self.lost + mixed + self.disconnected
    }

    /// The time within which this part of the answers came, in seconds.
    pub(crate) fn within(&self, part: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }
}

/// The thread that all innocents share.
#[derive(Debug)]
pub(crate) struct Innocents {
    asked: Sender<bool>,
    tallies: Receiver<io::Result<Tally>>,
    thread: Option<JoinHandle<()>>,
}

impl Innocents {
    /// Connects them by way of `address`.
    pub(crate) fn start(address: SocketAddr, count: usize) -> Result<Self> {
        let failed = |error| format!("the innocents cannot connect: {error}");
        let crowd = Crowd::of(address, "/echo", count).map_err(failed)?;
        let inside = crowd.count(|member| member.status == Some(101));
        if inside != count {
            return Err(format!("{inside} of {count} innocents were let in"));
        }
        let (asked, questions) = channel();
        let (give, tallies) = channel();
        let mut play = Play::new(crowd);
        let thread = std::thread::spawn(move || play.run(&questions, &give));
        Ok(Self { asked, tallies, thread: Some(thread) })
    }

    /// What happened since the last time; waits for the answers that are due.
    pub(crate) fn tally(&self) -> Result<Tally> {
        let gone = "the innocents are gone";
        self.asked.send(true).map_err(|_| gone)?;
        self.tallies.recv().map_err(|_| gone)?.map_err(|error| error.to_string())
    }

    /// The tally of so much time from now on.
    pub(crate) fn tally_of(&self, time: Duration) -> Result<Tally> {
        self.tally()?;
        std::thread::sleep(time);
        self.tally()
    }
}

impl Drop for Innocents {
    fn drop(&mut self) {
        let _ = self.asked.send(false);
        self.thread.take().map(JoinHandle::join);
    }
}

/// What one of them waits for.
#[derive(Debug, Default)]
struct Conversation {
    next: u32,
    due: VecDeque<(u32, Instant)>,
    /// The latest that was answered.
    last: Option<u32>,
    gone: bool,
}

#[derive(Debug)]
struct Play {
    crowd: Crowd,
    talks: Vec<Conversation>,
    tally: Tally,
    turn: usize,
    next: Instant,
}

impl Play {
    fn new(crowd: Crowd) -> Self {
        let talks = crowd.members.iter().map(|_| Conversation::default()).collect();
        Self { crowd, talks, tally: Tally::default(), turn: 0, next: Instant::now() }
    }

    fn run(&mut self, questions: &Receiver<bool>, give: &Sender<io::Result<Tally>>) {
        loop {
            match questions.try_recv() {
                Ok(true) => {
                    let tally = self.settle();
                    if give.send(tally).is_err() {
                        return;
                    }
                }
                Ok(false) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                Err(std::sync::mpsc::TryRecvError::Empty) => {}
            }
            self.speak();
            if let Err(error) = self.listen() {
                let _ = give.send(Err(error));
                return;
            }
        }
    }

    /// Sends what is due by now.
    fn speak(&mut self) {
        let now = Instant::now();
        while self.next <= now {
            let talk = &mut self.talks[self.turn];
            let message = message(self.turn as u32, talk.next);
            talk.due.push_back((talk.next, self.next));
            talk.next += 1;
            self.crowd.members[self.turn].send(&wire::frame(wire::BINARY, &message));
            self.turn = (self.turn + 1) % self.talks.len();
            self.next += PERIOD / self.talks.len() as u32;
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        let (talks, tally) = (&mut self.talks, &mut self.tally);
        let patience = self.next.saturating_duration_since(Instant::now());
        self.crowd.turn(patience, |index, member| hear(index, member, &mut talks[index], tally))
    }

    /// Waits for what is due, counts what does not come as lost, and begins a new tally.
    fn settle(&mut self) -> io::Result<Tally> {
        let give_up = Instant::now() + PATIENCE;
        let waits = |talks: &[Conversation]| talks.iter().any(|talk| !talk.due.is_empty());
        while waits(&self.talks) && Instant::now() < give_up {
            self.next = Instant::now() + Duration::from_millis(10);
            self.listen()?;
        }
        self.tally.lost +=
            self.talks.iter_mut().map(|talk| talk.due.drain(..).count()).sum::<usize>();
        self.next = Instant::now();
        self.tally.times.sort_by(f64::total_cmp);
        Ok(std::mem::take(&mut self.tally))
    }
}

fn hear(index: usize, member: &mut Member, talk: &mut Conversation, tally: &mut Tally) {
    while let Some(frame) = member.frame() {
        if frame.close_code().is_none() {
            judge(index as u32, &frame.payload, talk, tally);
        }
    }
    if !member.is_open() && !talk.gone {
        talk.gone = true;
        tally.disconnected += 1;
    }
}

fn judge(own: u32, payload: &[u8], talk: &mut Conversation, tally: &mut Tally) {
    let number = |at: usize| payload.get(at..at + 4).and_then(|four| four.try_into().ok());
    let (client, number) =
        (number(0).map_or(u32::MAX, u32::from_be_bytes), number(4).map_or(0, u32::from_be_bytes));
    if client != own {
        tally.foreign += 1;
    } else if payload != message(own, number) {
        tally.damaged += 1;
    } else {
        match talk.due.iter().position(|(due, _)| *due == number) {
            None => tally.repeated += 1,
            Some(place) => {
                // One that is passed over is lost, unless it comes later: then that one is out of
                // its order.
                tally.reordered += usize::from(talk.last > Some(number));
                talk.last = talk.last.max(Some(number));
                tally.answered += 1;
                let due = talk.due.remove(place).map(|(_, due)| due.elapsed().as_secs_f64());
                tally.times.extend(due);
            }
        }
    }
}

/// A message of 8 to 1,031 bytes, which follow from its numbers.
fn message(client: u32, number: u32) -> Vec<u8> {
    let mut random = Random(u64::from(client) << 32 | u64::from(number));
    let mut message = [client.to_be_bytes(), number.to_be_bytes()].concat();
    let length = 8 + random.below(1024);
    while message.len() < length {
        message.extend_from_slice(&random.next().to_be_bytes());
    }
    message.truncate(length);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(due: &[u32], answers: &[Vec<u8>]) -> Tally {
        let mut talk = Conversation::default();
        talk.due.extend(due.iter().map(|number| (*number, Instant::now())));
        let mut tally = Tally::default();
        for answer in answers {
            judge(7, answer, &mut talk, &mut tally);
        }
        tally
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_known() {
        let good = judged(&[1, 2], &[message(7, 1), message(7, 2)]);
        assert_eq!((good.answered, good.wrongs()), (2, 0));
        assert_eq!(judged(&[1], &[message(7, 1), message(7, 1)]).repeated, 1);
        assert_eq!(judged(&[1, 2], &[message(7, 2), message(7, 1)]).reordered, 1);
        assert_eq!(judged(&[1], &[message(8, 1)]).foreign, 1);
        let mut damaged = message(7, 1);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(judged(&[1], &[damaged]).damaged, 1);
        assert_eq!(judged(&[1], &[Vec::new()]).foreign, 1);
    }

    #[test]
    fn the_time_of_a_part() {
        let tally = Tally { times: (0..=100).map(f64::from).collect(), ..Tally::default() };
        assert_eq!((tally.within(0.5), tally.within(0.99)), (50.0, 99.0));
    }
}
