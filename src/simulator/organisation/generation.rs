//! What happened on one UTC day: a pure function of the seed and the day's number.
//!
//! A conversation belongs to the day it started on and may outlast it: ordinary ones by at most
//! [`LONGEST_DAYS`], a rare callback by up to [`STRETCHED_DAYS`]. The rules of the metrics are those of real data:
//! a timer is emitted when its segment ends, `nOffered` when the queue is entered, `tTalkComplete` with the last
//! talk, `tHandle` and `tAcw` when the wrap-up is done.

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

use super::conversation::{
    Conversation, Direction, Disconnect, Emission, Media, Metric, Purpose, Segment, SegmentKind, Session,
};
use super::dice::{Dice, scramble};
use super::directory::{Directory, Queue};

/// How many days after its first an ordinary conversation can still emit events.
pub(super) const LONGEST_DAYS: i64 = 3;
/// How many days after its first a stretched callback can still emit events.
pub(super) const STRETCHED_DAYS: i64 = 62;

pub(super) const DAY_MS: i64 = 24 * HOUR;
pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// An abandon within this time is a short one.
const SHORT_ABANDON_MS: i64 = 5 * SECOND;
/// What is late comes at most this much later.
const LATEST_MS: i64 = 48 * HOUR;
/// Where the organisation works.
pub(super) const OFFICE_ZONE: &str = "Europe/Berlin";

/// How customers turn to the organisation, and how often in a hundred times.
const MEDIA: [Media; 5] = [Media::Voice, Media::Chat, Media::Email, Media::Message, Media::Callback];
const MEDIA_WEIGHTS: [f64; 5] = [54.0, 13.0, 14.0, 14.0, 5.0];

/// What shapes a day besides its number.
pub(super) struct Shape<'d> {
    pub(super) seed: u64,
    pub(super) directory: &'d Directory,
    /// Mean over a week.
    pub(super) conversations_per_day: u32,
    /// The share of conversations whose wrap-up is reported late.
    pub(super) late_share: f64,
}

/// The conversations that started on the day (days since the epoch), in order of their start.
pub(super) fn conversations_of(shape: &Shape<'_>, day: i64) -> Vec<Conversation> {
    let mut dice = Dice::new(shape.seed, "day", day);
    let mut starts = starts(&mut dice, day, shape.conversations_per_day);
    starts.sort_unstable();
    let mut conversations: Vec<_> = starts
        .into_iter()
        .map(|start| Story::begin(shape, &mut dice, start).ordinary())
        .collect();
    conversations.extend(stretched_of(shape, day));
    conversations.sort_by_key(|conversation| (conversation.start, conversation.id));
    conversations
}

/// The callback that waited for weeks and began on the day, if there was one: about every tenth day.
pub(super) fn stretched_of(shape: &Shape<'_>, day: i64) -> Option<Conversation> {
    let mut dice = Dice::new(shape.seed, "stretched", day);
    let wanted = shape.conversations_per_day > 0 && dice.chance(0.1);
    wanted.then(|| {
        let start = day * DAY_MS + dice.between(8 * HOUR, 16 * HOUR);
        Story::begin(shape, &mut dice, start).stretched_callback()
    })
}

/// When conversations start: by the hour of the day and the day of the week in the office's zone.
fn starts(dice: &mut Dice, day: i64, mean: u32) -> Vec<i64> {
    let zone = TimeZone::get(OFFICE_ZONE).unwrap_or(TimeZone::UTC);
    let busyness: Vec<f64> = (0..24)
        .map(|hour| busyness(day * DAY_MS + hour * HOUR, &zone))
        .collect();
    let share_of_mean = busyness.iter().sum::<f64>() / mean_busyness();
    let exact = f64::from(mean) * share_of_mean * (0.9 + 0.2 * dice.fraction());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small non-negative number"
    )]
    let whole = exact as u32;
    let count = whole + u32::from(dice.chance(exact.fract()));
    (0..count)
        .map(|_| {
            let hour = i64::try_from(dice.weighted(&busyness)).unwrap_or(0);
            day * DAY_MS + hour * HOUR + dice.between(0, HOUR)
        })
        .collect()
}

const WEEKDAY_HOURS: [f64; 24] = [
    0.15, 0.1, 0.08, 0.06, 0.06, 0.1, 0.3, 1.0, 4.0, 7.5, 9.0, 9.5, 7.0, 7.5, 9.0, 8.5, 7.5, 6.0, 3.5, 2.0, 1.0, 0.7,
    0.4, 0.2,
];

/// How busy the hour that begins at this instant is, relative to others.
fn busyness(instant: i64, zone: &TimeZone) -> f64 {
    let Ok(instant) = Timestamp::from_millisecond(instant) else {
        return 0.0;
    };
    let local = instant.to_zoned_datetime(zone.clone());
    let hour = WEEKDAY_HOURS[usize::try_from(local.hour()).unwrap_or(0)];
    hour * weekday_factor(local.weekday())
}

fn weekday_factor(weekday: Weekday) -> f64 {
    match weekday {
        Weekday::Monday => 1.2,
        Weekday::Tuesday | Weekday::Thursday => 1.05,
        Weekday::Wednesday | Weekday::Friday => 1.0,
        Weekday::Saturday => 0.3,
        Weekday::Sunday => 0.12,
    }
}

/// The mean over a week of a day's summed busyness.
fn mean_busyness() -> f64 {
    let days = Weekday::Monday.cycle_forward().take(7);
    let week: f64 = days.map(weekday_factor).sum();
    WEEKDAY_HOURS.iter().sum::<f64>() * week / 7.0
}

/// One conversation being told: sessions are added as its time goes on.
struct Story<'s, 'd> {
    shape: &'s Shape<'d>,
    dice: &'s mut Dice,
    conversation: Conversation,
    sessions: Vec<Session>,
    late_by: u32,
}

/// What the customer wants, and where it is at.
#[derive(Clone, Copy)]
struct Wish {
    media: Media,
    queue: u8,
    skills: u8,
    language: u8,
}

impl<'s, 'd> Story<'s, 'd> {
    fn begin(shape: &'s Shape<'d>, dice: &'s mut Dice, start: i64) -> Self {
        let id = dice.id();
        let customers = i64::try_from(shape.directory.customers.len()).unwrap_or(0);
        let customer = u16::try_from(dice.between(0, customers)).unwrap_or(0);
        // Drawn whether wanted or not, so that a share of late reports changes nothing else.
        let (late, delay) = (dice.fraction() < shape.late_share, dice.between(MINUTE, LATEST_MS));
        Self {
            shape,
            dice,
            conversation: Conversation {
                id,
                start,
                originating: Direction::Inbound,
                customer,
                stretched: false,
                sessions: Box::default(),
            },
            sessions: Vec::new(),
            late_by: if late { u32::try_from(delay).unwrap_or(0) } else { 0 },
        }
    }

    fn ordinary(mut self) -> Conversation {
        if self.dice.chance(0.1) {
            self.outbound_call();
        } else {
            let media = MEDIA[self.dice.weighted(&MEDIA_WEIGHTS)];
            self.inbound(media, None);
        }
        self.told()
    }

    fn stretched_callback(mut self) -> Conversation {
        self.conversation.stretched = true;
        let wait = self.dice.between(20 * DAY_MS, 60 * DAY_MS);
        self.inbound(Media::Callback, Some(wait));
        self.told()
    }

    fn told(mut self) -> Conversation {
        self.conversation.sessions = self.sessions.into_boxed_slice();
        self.conversation
    }

    /// A customer turns to the organisation: menu, queue, agent.
    fn inbound(&mut self, media: Media, wait: Option<i64>) {
        let start = self.conversation.start;
        let wish = self.wish(media);
        let answered = start
            + if media == Media::Voice {
                self.dice.between(80, 400)
            } else {
                0
            };
        // The customer's session is told last but listed first.
        self.sessions
            .push(Draft::new(Purpose::Customer, media, Direction::Inbound).done());
        let menu_end = match media {
            Media::Voice => self.menu(answered),
            _ => Some(answered),
        };
        let (end, disconnect) = match menu_end {
            Some(entered) => self.queued(wish, entered, wait, 1),
            None => (self.menu_abandoned(answered), Disconnect::Endpoint),
        };
        let mut customer = Draft::new(Purpose::Customer, media, Direction::Inbound);
        if answered > start {
            customer.segment(SegmentKind::System, start, answered, None);
        }
        customer.emit(Metric::NConnected, answered, 1);
        customer.segment(SegmentKind::Interact, answered, end, Some(disconnect));
        customer.emit(Metric::TConnected, end, end - answered);
        self.sessions[0] = customer.done();
    }

    fn wish(&mut self, media: Media) -> Wish {
        let queue = self.queue_for(media, None);
        let skills = match self.dice.weighted(&[6.0, 3.0, 1.0]) {
            0 => 0,
            1 => 1 << self.dice.between(0, 6),
            _ => (1 << self.dice.between(0, 3)) | (1 << self.dice.between(3, 6)),
        };
        let language = u8::try_from(self.dice.weighted(&[5.0, 4.0, 1.0])).unwrap_or(0);
        Wish {
            media,
            queue,
            skills,
            language,
        }
    }

    fn queue_for(&mut self, media: Media, but: Option<u8>) -> u8 {
        let queues = (0_u8..).zip(&self.shape.directory.queues);
        let weight = |(index, queue): (u8, &Queue)| {
            let served = queue.media.contains(&media) && Some(index) != but;
            if served { queue.weight } else { 0.0 }
        };
        let weights: Vec<f64> = queues.map(weight).collect();
        u8::try_from(self.dice.weighted(&weights)).unwrap_or(0)
    }

    /// The menu a caller hears first. The instant it ends with a transfer, none if the caller hung up in it.
    fn menu(&mut self, start: i64) -> Option<i64> {
        let end = start + self.dice.skewed(4 * SECOND, 90 * SECOND, 2);
        let lost = self.dice.chance(0.04);
        let flow = u8::try_from(self.dice.weighted(&[3.0, 1.0])).unwrap_or(0);
        let mut ivr = Draft::new(Purpose::Ivr, Media::Voice, Direction::Inbound);
        ivr.session.flow = Some(flow);
        ivr.emit(Metric::NFlow, start, 1);
        let disconnect = if lost { Disconnect::Peer } else { Disconnect::Transfer };
        ivr.segment(SegmentKind::Ivr, start, end, Some(disconnect));
        ivr.emit(Metric::TIvr, end, end - start);
        ivr.emit(Metric::TFlow, end, end - start);
        let exit = if lost {
            Metric::TFlowDisconnect
        } else {
            Metric::TFlowExit
        };
        ivr.emit(exit, end, end - start);
        // Drawn from the id, so that the days stay what they were before there were outcomes.
        let (random, _) = self.conversation.id.as_u64_pair();
        let [outcome, failure, milestone] = [1, 2, 3].map(|draw| scramble(random ^ draw) % 100);
        if outcome < 80 {
            ivr.emit(Metric::NFlowOutcome, end, 1);
            ivr.emit(Metric::TFlowOutcome, end, end - start);
            if lost || failure < 12 {
                ivr.emit(Metric::NFlowOutcomeFailed, end, 1);
            }
        }
        if milestone < 70 {
            ivr.emit(Metric::NFlowMilestone, start.midpoint(end), 1);
        }
        self.sessions.push(ivr.done());
        (!lost).then_some(end)
    }

    fn menu_abandoned(&self, answered: i64) -> i64 {
        let ends = self
            .sessions
            .iter()
            .flat_map(|session| &session.segments)
            .map(|segment| segment.end);
        ends.max().unwrap_or(answered)
    }

    /// Waiting in a queue and what comes of it. When and how the customer's part ends.
    fn queued(&mut self, wish: Wish, entered: i64, wait: Option<i64>, transfers_left: u8) -> (i64, Disconnect) {
        let mut acd = Draft::routed(Purpose::Acd, wish);
        acd.emit(Metric::NOffered, entered, 1);
        let fate = match wait {
            Some(_) => Fate::Answered,
            None => self.fate(wish.media),
        };
        let wait = wait.unwrap_or_else(|| self.wait(wish.media, fate, transfers_left));
        let left = entered + wait;
        let disconnect = match fate {
            Fate::Answered => Disconnect::Transfer,
            Fate::Abandoned => Disconnect::Peer,
            Fate::FlowedOut => Disconnect::NoAnswerTransfer,
        };
        acd.segment(SegmentKind::Interact, entered, left, Some(disconnect));
        acd.emit(Metric::TAcd, left, wait);
        acd.emit(Metric::TWait, left, wait);
        match fate {
            Fate::Answered => {
                let goal = self.shape.directory.queues[usize::from(wish.queue)].goal_ms(wish.media);
                let in_time = wait <= goal;
                if !in_time {
                    acd.emit(Metric::NOverSla, left, 1);
                }
                acd.emit(Metric::OServiceLevel, left, i64::from(in_time));
            }
            Fate::Abandoned => {
                acd.emit(Metric::TAbandon, left, wait);
                if wait < SHORT_ABANDON_MS {
                    acd.emit(Metric::TShortAbandon, left, wait);
                }
                acd.emit(Metric::OServiceLevel, left, 0);
            }
            Fate::FlowedOut => {
                acd.session.flow_out = Some(if wish.media == Media::Voice {
                    "voicemail"
                } else {
                    "workflow"
                });
                acd.emit(Metric::TFlowOut, left, wait);
            }
        }
        self.sessions.push(acd.done());
        if wait > 25 * SECOND && self.dice.chance(0.12) {
            self.alert_not_answered(wish, entered, left);
        }
        match fate {
            Fate::Answered => self.served(wish, entered, left, transfers_left),
            Fate::Abandoned => (left, Disconnect::Endpoint),
            Fate::FlowedOut if wish.media == Media::Voice => (self.voicemail(left), Disconnect::Endpoint),
            Fate::FlowedOut => (left, Disconnect::Client),
        }
    }

    fn fate(&mut self, media: Media) -> Fate {
        let (abandoned, flowed_out) = match media {
            Media::Voice => (8.0, 2.0),
            Media::Chat => (6.0, 1.0),
            Media::Email => (0.5, 0.5),
            Media::Message | Media::Callback => (3.0, 1.0),
        };
        match self
            .dice
            .weighted(&[100.0 - abandoned - flowed_out, abandoned, flowed_out])
        {
            0 => Fate::Answered,
            1 => Fate::Abandoned,
            _ => Fate::FlowedOut,
        }
    }

    fn wait(&mut self, media: Media, fate: Fate, transfers_left: u8) -> i64 {
        match fate {
            Fate::Answered => self.wait_for_agent(media, transfers_left),
            Fate::Abandoned if media != Media::Email && self.dice.chance(0.1) => {
                self.dice.between(90, SHORT_ABANDON_MS)
            }
            // The flow gives up on the queue after a set time.
            Fate::FlowedOut if media == Media::Voice => self.dice.between(210 * SECOND, 220 * SECOND),
            Fate::Abandoned | Fate::FlowedOut => self.patience(media),
        }
    }

    fn wait_for_agent(&mut self, media: Media, transfers_left: u8) -> i64 {
        match media {
            Media::Voice => self.dice.skewed(1_200, 9 * MINUTE, 13),
            Media::Chat => self.dice.skewed(1_500, 12 * MINUTE, 12),
            Media::Message => self.dice.skewed(2 * SECOND, 45 * MINUTE, 12),
            Media::Callback => self.dice.skewed(2 * MINUTE, 30 * HOUR, 9),
            Media::Email if transfers_left > 0 => self.dice.skewed(MINUTE, 40 * HOUR, 8),
            Media::Email => self.dice.skewed(MINUTE, 18 * HOUR, 8),
        }
    }

    /// How long somebody waits who is not answered.
    fn patience(&mut self, media: Media) -> i64 {
        match media {
            Media::Voice => self.dice.skewed(3 * SECOND, 6 * MINUTE, 3),
            Media::Chat => self.dice.skewed(3 * SECOND, 10 * MINUTE, 3),
            Media::Message => self.dice.skewed(10 * SECOND, 2 * HOUR, 3),
            Media::Callback | Media::Email => self.dice.skewed(MINUTE, 18 * HOUR, 3),
        }
    }

    /// An agent whose telephone rang in vain while the customer went on waiting.
    fn alert_not_answered(&mut self, wish: Wish, entered: i64, left: i64) {
        let rang = self.dice.between(8 * SECOND, 20 * SECOND);
        let start = self.dice.between(entered + SECOND, left - rang - SECOND);
        let mut agent = Draft::routed(Purpose::Agent, wish);
        agent.session.user = Some(self.agent_of(wish.queue));
        agent.segment(
            SegmentKind::Alert,
            start,
            start + rang,
            Some(Disconnect::NoAnswerTransfer),
        );
        agent.emit(Metric::TAlert, start + rang, rang);
        match wish.media {
            Media::Voice | Media::Callback => agent.emit(Metric::TNotResponding, start + rang, rang),
            Media::Chat | Media::Email | Media::Message => agent.emit(Metric::NAlertExpired, start + rang, 1),
        }
        self.sessions.push(agent.done());
    }

    fn voicemail(&mut self, start: i64) -> i64 {
        let end = start + self.dice.between(5 * SECOND, 90 * SECOND);
        let mut voicemail = Draft::new(Purpose::Voicemail, Media::Voice, Direction::Inbound);
        voicemail.segment(SegmentKind::Voicemail, start, end, Some(Disconnect::Peer));
        voicemail.emit(Metric::TVoicemail, end, end - start);
        self.sessions.push(voicemail.done());
        end
    }

    fn agent_of(&mut self, queue: u8) -> u8 {
        let queue = &self.shape.directory.queues[usize::from(queue)];
        queue.members[self.dice.weighted(&queue.member_weights)]
    }

    /// An agent takes the contact; may pass it on. When and how the customer's part ends.
    fn served(&mut self, wish: Wish, entered: i64, answered: i64, transfers_left: u8) -> (i64, Disconnect) {
        let mut agent = Draft::routed(Purpose::Agent, wish);
        agent.session.user = Some(self.agent_of(wish.queue));
        let alerted = (answered - self.dice.between(700, 9 * SECOND)).max(entered);
        agent.segment(SegmentKind::Alert, alerted, answered, None);
        agent.emit(Metric::TAlert, answered, answered - alerted);
        agent.emit(Metric::TAnswered, answered, answered - entered);
        let ending = self.ending(wish.media, transfers_left);
        let mut end = self.talk(&mut agent, wish.media, answered);
        match ending {
            Ending::HungUp => {}
            Ending::BlindTransfer => {
                agent.emit(Metric::NTransferred, end, 1);
                agent.emit(Metric::NBlindTransferred, end, 1);
            }
            Ending::ConsultTransfer => {
                let asked = end;
                agent.emit(Metric::NConsult, asked, 1);
                end = asked + self.dice.between(15 * SECOND, 2 * MINUTE);
                agent.segment(SegmentKind::Hold, asked, end, None);
                agent.emit(Metric::NTransferred, end, 1);
                agent.emit(Metric::NConsultTransferred, end, 1);
            }
        }
        agent.disconnect(match ending {
            Ending::HungUp => Disconnect::Peer,
            Ending::BlindTransfer => Disconnect::Transfer,
            Ending::ConsultTransfer => Disconnect::ConsultTransfer,
        });
        self.finish(&mut agent, end);
        self.sessions.push(agent.done());
        match ending {
            Ending::HungUp if self.dice.chance(0.6) => (end, Disconnect::Endpoint),
            Ending::HungUp => (end, Disconnect::Peer),
            Ending::BlindTransfer => {
                let queue = self.queue_for(wish.media, Some(wish.queue));
                self.queued(Wish { queue, ..wish }, end, None, 0)
            }
            Ending::ConsultTransfer => (self.consulted(wish, end), Disconnect::Peer),
        }
    }

    fn ending(&mut self, media: Media, transfers_left: u8) -> Ending {
        let (blind, consult) = match media {
            _ if transfers_left == 0 => (0.0, 0.0),
            Media::Voice => (6.0, 4.0),
            Media::Callback => (0.0, 0.0),
            Media::Chat | Media::Email | Media::Message => (5.0, 0.0),
        };
        match self.dice.weighted(&[100.0 - blind - consult, blind, consult]) {
            0 => Ending::HungUp,
            1 => Ending::BlindTransfer,
            _ => Ending::ConsultTransfer,
        }
    }

    /// Talking, with pauses on hold. When it ends.
    fn talk(&mut self, agent: &mut Draft, media: Media, start: i64) -> i64 {
        let total = match media {
            Media::Voice | Media::Callback => self.dice.skewed(12 * SECOND, 28 * MINUTE, 3),
            Media::Chat => self.dice.skewed(MINUTE, 40 * MINUTE, 2),
            Media::Message => self.dice.skewed(MINUTE, 90 * MINUTE, 3),
            Media::Email => self.dice.skewed(MINUTE, 150 * MINUTE, 3),
        };
        let holds = i64::try_from(self.dice.weighted(&[70.0, 22.0, 8.0])).unwrap_or(0);
        let mut at = start;
        for piece in 0..=holds {
            let talked = total / (holds + 1);
            if media == Media::Chat || media == Media::Message {
                let reply = self.dice.between(2 * SECOND, 50 * SECOND).min(talked);
                agent.emit(Metric::TAgentResponseTime, at + reply, reply);
            }
            agent.segment(SegmentKind::Interact, at, at + talked, None);
            at += talked;
            if piece < holds {
                let held = self.dice.skewed(3 * SECOND, 6 * MINUTE, 2);
                agent.segment(SegmentKind::Hold, at, at + held, None);
                at += held;
            }
        }
        if holds > 0 && self.dice.chance(0.1) {
            // The customer gives up on hold: the session ends with it.
            let held = self.dice.between(5 * SECOND, 2 * MINUTE);
            agent.segment(SegmentKind::Hold, at, at + held, None);
            at += held;
        }
        if media == Media::Chat || media == Media::Message {
            agent.emit(Metric::OMessageTurn, at, self.dice.between(1, 14));
        }
        if self.dice.chance(0.01) {
            agent.emit(Metric::NError, at, 1);
        }
        at
    }

    /// The agent's paperwork, after which the session's totals are emitted.
    fn finish(&mut self, agent: &mut Draft, end: i64) {
        let mut finished = end;
        if self.dice.chance(0.8) {
            finished = end + self.dice.skewed(2 * SECOND, 4 * MINUTE, 2);
            agent.segment(SegmentKind::Wrapup, end, finished, None);
            let codes = self.shape.directory.wrap_up_codes.len();
            let weights: Vec<f64> = (0..codes)
                .map(|code| if code + 1 == codes { 0.3 } else { 4.0 })
                .collect();
            agent.session.wrap_up = u8::try_from(self.dice.weighted(&weights)).ok();
            agent.session.late_by = self.late_by;
        }
        agent.complete(finished);
    }

    /// A colleague, asked on the quiet, takes over. When the customer's part ends.
    fn consulted(&mut self, wish: Wish, transferred: i64) -> i64 {
        let mut colleague = Draft::routed(Purpose::Agent, wish);
        colleague.session.user = Some(self.agent_of(wish.queue));
        let answered = transferred - self.dice.between(2 * SECOND, 10 * SECOND);
        let alerted = answered - self.dice.between(SECOND, 4 * SECOND);
        colleague.segment(SegmentKind::Alert, alerted, answered, None);
        colleague.emit(Metric::TAlert, answered, answered - alerted);
        let end = transferred + self.dice.skewed(20 * SECOND, 15 * MINUTE, 2);
        colleague.segment(SegmentKind::Interact, answered, end, Some(Disconnect::Peer));
        self.finish(&mut colleague, end);
        self.sessions.push(colleague.done());
        end
    }

    /// Somebody here calls a customer: for a queue, or on their own account.
    fn outbound_call(&mut self) {
        self.conversation.originating = Direction::Outbound;
        let start = self.conversation.start;
        let for_queue = self.dice.chance(0.65);
        let queue = self.queue_for(Media::Voice, None);
        let purpose = if for_queue { Purpose::Agent } else { Purpose::User };
        let mut caller = Draft::new(purpose, Media::Voice, Direction::Outbound);
        caller.session.queue = for_queue.then_some(queue);
        caller.session.user = Some(self.agent_of(queue));
        let contacted = start + self.dice.between(20, 1_500);
        caller.segment(SegmentKind::Contacting, start, contacted, None);
        caller.emit(Metric::TContacting, contacted, contacted - start);
        caller.emit(Metric::NOutbound, contacted, 1);
        caller.emit(Metric::NOutboundAttempted, contacted, 1);
        let dialed = contacted + self.dice.skewed(2 * SECOND, 45 * SECOND, 2);
        caller.segment(SegmentKind::Dialing, contacted, dialed, None);
        caller.emit(Metric::TDialing, dialed, dialed - contacted);
        let reached = self.dice.chance(0.75);
        let mut end = dialed;
        if reached {
            caller.emit(Metric::NOutboundConnected, dialed, 1);
            end = self.talk(&mut caller, Media::Voice, dialed);
        }
        caller.disconnect(if reached {
            Disconnect::Peer
        } else {
            Disconnect::Uncallable
        });
        self.finish(&mut caller, end);
        let mut customer = Draft::new(Purpose::Customer, Media::Voice, Direction::Outbound);
        customer.segment(SegmentKind::Dialing, contacted, dialed, None);
        if reached {
            customer.emit(Metric::NConnected, dialed, 1);
            customer.segment(SegmentKind::Interact, dialed, end, Some(Disconnect::Endpoint));
            customer.emit(Metric::TConnected, end, end - dialed);
        }
        self.sessions.push(caller.done());
        self.sessions.push(customer.done());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Abandoned,
    FlowedOut,
}

#[derive(Clone, Copy)]
enum Ending {
    HungUp,
    BlindTransfer,
    ConsultTransfer,
}

/// A session being written: a timed segment emits its own metric as it is added.
pub(super) struct Draft {
    pub(super) session: Session,
    segments: Vec<Segment>,
    emissions: Vec<Emission>,
}

impl Draft {
    pub(super) fn new(purpose: Purpose, media: Media, direction: Direction) -> Self {
        Self {
            session: Session {
                purpose,
                media,
                direction,
                queue: None,
                user: None,
                flow: None,
                wrap_up: None,
                language: None,
                skills: 0,
                flow_out: None,
                late_by: 0,
                segments: Box::default(),
                emissions: Box::default(),
            },
            segments: Vec::new(),
            emissions: Vec::new(),
        }
    }

    fn routed(purpose: Purpose, wish: Wish) -> Self {
        let mut draft = Self::new(purpose, wish.media, Direction::Inbound);
        draft.session.queue = Some(wish.queue);
        draft.session.skills = wish.skills;
        draft.session.language = Some(wish.language);
        draft
    }

    pub(super) fn emit(&mut self, metric: Metric, at: i64, value: i64) {
        self.emissions.push(Emission { at, value, metric });
    }

    pub(super) fn segment(&mut self, kind: SegmentKind, start: i64, end: i64, disconnect: Option<Disconnect>) {
        self.segments.push(Segment {
            start,
            end,
            kind,
            disconnect,
        });
        let agent = matches!(self.session.purpose, Purpose::Agent | Purpose::User);
        match kind {
            SegmentKind::Interact if agent => {
                self.emit(Metric::TTalk, end, end - start);
                if self.session.media == Media::Callback {
                    self.emit(Metric::TActiveCallback, end, end - start);
                }
            }
            SegmentKind::Hold if agent => self.emit(Metric::THeld, end, end - start),
            SegmentKind::Wrapup => self.emit(Metric::TAcw, end, end - start),
            _ => {}
        }
    }

    /// Writes how the contact ended into the last segment so far.
    fn disconnect(&mut self, disconnect: Disconnect) {
        if let Some(last) = self.segments.last_mut() {
            last.disconnect = Some(disconnect);
        }
    }

    /// Emits what is known once the agent is done: talk and hold totals with their last piece, handle time at the end.
    pub(super) fn complete(&mut self, finished: i64) {
        let last_and_sum = |kind: SegmentKind| {
            let pieces = self.segments.iter().filter(|segment| segment.kind == kind);
            let last = pieces.clone().map(|segment| segment.end).max();
            last.map(|last| (last, pieces.map(|segment| segment.end - segment.start).sum::<i64>()))
        };
        let (talk, held) = (last_and_sum(SegmentKind::Interact), last_and_sum(SegmentKind::Hold));
        let other = [SegmentKind::Contacting, SegmentKind::Dialing, SegmentKind::Wrapup];
        let other: i64 = other.into_iter().filter_map(last_and_sum).map(|(_, sum)| sum).sum();
        if let Some((last, sum)) = talk {
            self.emit(Metric::TTalkComplete, last, sum);
            if self.session.media == Media::Callback {
                self.emit(Metric::TActiveCallbackComplete, last, sum);
            }
        }
        if let Some((last, sum)) = held {
            self.emit(Metric::THeldComplete, last, sum);
        }
        let [talk, held] = [talk, held].map(|total| total.map_or(0, |(_, sum)| sum));
        self.emit(Metric::THandle, finished, talk + held + other);
    }

    pub(super) fn done(mut self) -> Session {
        self.emissions.sort_by_key(|emission| (emission.at, emission.metric));
        self.session.segments = self.segments.into_boxed_slice();
        self.session.emissions = self.emissions.into_boxed_slice();
        self.session
    }
}
