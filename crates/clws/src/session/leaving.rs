//! Ends that the clock brings about: a client was idle for too long, has been here long enough, or
//! the server drains.
//!
//! Such an end loses nothing: what had come until then is read and delivered first, and a resource
//! that works elsewhere closes the client itself, behind what it has still to do. Only when the
//! last call has passed is a client closed that keeps sending, or whose resource keeps it.

use super::live::Live;
use super::opening::shutting_down;
use super::{Output, Phase, Session};
use crate::hub::Kit;
use crate::limits::Limits;
use crate::resource::Cause;
use crate::ticks::{self, Epoch, Tick};
use clws_proto::close::CloseCode;
use std::time::Instant;

/// Of a client's longest life the part by which some live shorter than others: a tenth.
const JITTER: u32 = 10;

/// Why a client has to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Idle,
    Lifetime,
    Drain,
}

impl Why {
    fn cause(self) -> Cause {
        match self {
            Self::Idle => Cause::Idle,
            Self::Lifetime => Cause::Lifetime,
            Self::Drain => Cause::Shutdown,
        }
    }

    /// What the close frame says.
    fn words(self, kit: &Kit) -> (CloseCode, &str) {
        match (self, &kit.drain) {
            (Self::Drain, Some(plan)) => (plan.code, &plan.reason),
            (Self::Idle, _) => (CloseCode::GOING_AWAY, "idle for too long"),
            (Self::Lifetime | Self::Drain, _) => {
                (CloseCode::GOING_AWAY, "connected for long enough")
            }
        }
    }
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `connected` has not been called.
    New,
    Staying,
    /// What had come when its time was up is read first.
    Reading(Why),
    /// It is closed, or its resource is about to.
    Told(Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Begin(Why),
    LastCall(Why),
}

/// How long a client may stay.
#[derive(Debug)]
pub(super) struct Leaving {
    /// When the latest message went either way; never, where it makes no difference.
    spoke: Tick,
    /// The end of its time here; once that began, the last call.
    until: Tick,
}

impl Leaving {
    pub(super) fn new(limits: &Limits, epoch: Epoch, client: u64, now: Instant) -> Self {
        let end = limits.max_lifetime.and_then(|most| {
            now.checked_add(most.saturating_sub(ticks::share(client, most / JITTER)))
        });
        let until = end.map_or(Tick::NEVER, |end| epoch.at_or_after(end));
        let spoke = limits.idle_timeout.map_or(Tick::NEVER, |_| epoch.at_or_after(now));
        Self { spoke, until }
    }
}

impl Live {
    /// A message came, or was sent.
    #[inline]
    pub(super) fn spoke(&mut self, now: Instant) {
        if self.leaving.spoke != Tick::NEVER {
            self.leaving.spoke = self.epoch().at_or_after(now);
        }
    }

    fn idle_until(&self) -> Option<Instant> {
        let most = self.limits().idle_timeout?;
        self.epoch().instant(self.leaving.spoke)?.checked_add(most)
    }

    /// When something is to be done about this client's leaving.
    pub(super) fn leaving_deadline(&self) -> Option<Instant> {
        if !self.is_open() || self.step == Step::New {
            return None;
        }
        let until = self.epoch().instant(self.leaving.until);
        let idle = match self.step {
            Step::Staying => self.idle_until(),
            Step::Reading(Why::Idle) | Step::Told(Why::Idle) => {
                self.idle_until().map(|until| until + self.limits().close_timeout)
            }
            Step::New | Step::Reading(_) | Step::Told(_) => None,
        };
        until.into_iter().chain(idle).min()
    }

    /// Whether an end that overrides idling may begin.
    fn may_begin_leaving(&self) -> bool {
        let on_its_way =
            Step::Reading(Why::Idle) == self.step || Step::Told(Why::Idle) == self.step;
        self.is_open() && (self.step == Step::Staying || on_its_way)
    }

    /// Whether what had come is to be read until nothing is left.
    pub(super) fn is_reading_out(&self) -> bool {
        matches!(self.step, Step::Reading(_)) && self.is_open()
    }

    /// What is due now: an end that begins, or one whose last call has passed.
    fn due(&self, kit: &Kit) -> Option<Due> {
        let is_past = |time: Option<Instant>| time.is_some_and(|time| time <= kit.now);
        let time_is_up = is_past(self.epoch().instant(self.leaving.until));
        match self.step {
            Step::New => None,
            Step::Reading(why) | Step::Told(why) if why != Why::Idle => {
                time_is_up.then_some(Due::LastCall(why))
            }
            _ if time_is_up && kit.drain.is_some() => Some(Due::Begin(Why::Drain)),
            _ if time_is_up => Some(Due::Begin(Why::Lifetime)),
            Step::Staying => is_past(self.idle_until()).then_some(Due::Begin(Why::Idle)),
            Step::Reading(why) | Step::Told(why) => {
                is_past(self.leaving_deadline()).then_some(Due::LastCall(why))
            }
        }
    }

    fn last_call(&self, kit: &Kit) -> Tick {
        let timeout = self.limits().close_timeout;
        let call = match &kit.drain {
            Some(plan) => plan.last_call(kit.now, timeout),
            None => kit.now + timeout,
        };
        self.epoch().at_or_after(call)
    }

    /// Brings the end of its time forward to what the drain makes of it.
    fn hasten(&mut self, kit: &Kit, moment: Instant) {
        let end = match self.step {
            Step::Reading(Why::Lifetime | Why::Drain) | Step::Told(Why::Lifetime | Why::Drain) => {
                self.last_call(kit)
            }
            _ => self.epoch().at_or_after(moment),
        };
        self.leaving.until = self.leaving.until.min(end);
    }

    /// Tells the resource, which may close the client itself, or closes it.
    fn tell(&mut self, kit: &Kit, why: Why) {
        self.step = Step::Told(why);
        let (code, reason) = why.words(kit);
        match kit.hub.guarded(|| self.resource().closing(&self.client, code, reason)) {
            Some(true) => {}
            Some(false) => self.leave(kit, why),
            None => self.panicked(kit.now),
        }
        self.control(kit);
    }

    /// Closes behind what was sent before, as user code would: letters may be on their way.
    fn leave(&mut self, kit: &Kit, why: Why) {
        let (code, reason) = why.words(kit);
        self.client.close_for(why.cause(), code, reason);
        self.control(kit);
    }

    /// What began a close that user code asked for: it may have been told to.
    pub(super) fn true_cause(&self, cause: Cause) -> Cause {
        match self.step {
            Step::Told(why) if cause == Cause::Server => why.cause(),
            _ => cause,
        }
    }
}

impl Session {
    /// Whether the engine is to read what has come, even if it knows of nothing, and to call
    /// [`Self::handle_read_out`] when it has.
    #[inline]
    pub(crate) fn is_reading_out(&self) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.is_reading_out())
    }

    /// Everything that had come has been read and delivered.
    pub(crate) fn handle_read_out(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Step::Reading(why) = live.step else { return };
        if why == Why::Idle && live.idle_until().is_some_and(|until| kit.now < until) {
            // Something had come after all.
            live.step = Step::Staying;
            return;
        }
        self.in_scope(kit, &mut [], out, |live, kit, _| live.tell(kit, why));
    }

    /// Does what is due about the client's leaving.
    pub(super) fn leaving_timeout(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let Phase::Live(live) = &mut self.phase else { return };
        match live.due(kit).filter(|_| live.is_open()) {
            Some(Due::Begin(why)) => self.begin_leaving(kit, why, out),
            Some(Due::LastCall(why)) => {
                self.in_scope(kit, &mut [], out, |live, kit, _| live.leave(kit, why));
            }
            None => {}
        }
    }

    fn begin_leaving(&mut self, kit: &mut Kit, why: Why, out: &mut dyn Output) {
        let Phase::Live(live) = &mut self.phase else { return };
        live.step = Step::Reading(why);
        if why != Why::Idle {
            live.leaving.until = live.last_call(kit);
        }
        if live.is_paused_by_user() {
            // It was not to be heard, so what it sent is not waited for.
            self.handle_read_out(kit, out);
        }
    }

    /// The server drains, as the kit says: a handshake is refused, a client gets its moment.
    pub(crate) fn handle_drain(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let Some(plan) = kit.drain.clone() else { return };
        match &mut self.phase {
            Phase::Opening(_) => {
                let refusal = shutting_down(&kit.hub);
                self.refuse_now(kit, &refusal, out);
            }
            Phase::Live(live) => {
                let moment = plan.moment(self.id);
                live.hasten(kit, moment.unwrap_or(kit.now));
                if moment.is_none() && live.may_begin_leaving() {
                    self.begin_leaving(kit, Why::Drain, out);
                }
            }
            Phase::Ending { .. } | Phase::Gone { .. } => {}
        }
    }

    /// The drain's deadline has come.
    pub(crate) fn cut_off(&mut self, kit: &mut Kit) {
        let abort = match &self.phase {
            Phase::Ending { .. } => self.wants_write(),
            Phase::Opening(_) | Phase::Live(_) => true,
            Phase::Gone { .. } => return,
        };
        if self.is_live() {
            kit.hub.tally.forced.add(1);
        }
        self.lose(kit, Cause::Shutdown, abort);
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }
}
