//! Who and what the simulated organisation consists of: divisions, queues, users, codes, flows and its customers.
//!
//! Everything is invented. Ids derive from the seed; names do not change with it, so that examples stay readable.

use uuid::Uuid;

use super::conversation::Media;
use super::dice::Dice;
use super::timeline::SystemPresence;

/// The organisation's people and things. Conversations point into these lists by index.
pub(super) struct Directory {
    pub(super) divisions: Vec<Named>,
    pub(super) queues: Vec<Queue>,
    pub(super) users: Vec<User>,
    pub(super) wrap_up_codes: Vec<WrapUpCode>,
    pub(super) skills: Vec<Named>,
    pub(super) languages: Vec<Named>,
    pub(super) flows: Vec<Flow>,
    /// What flows try to achieve, and a place on the way.
    pub(super) flow_outcomes: Vec<Uuid>,
    pub(super) flow_milestone: Uuid,
    pub(super) customers: Vec<Customer>,
    pub(super) presences: Vec<Presence>,
}

pub(super) struct Named {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
}

pub(super) struct Queue {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
    pub(super) division: u8,
    /// The service-level goal: this share of what is answered or abandoned ...
    pub(super) percentage: f64,
    /// ... is answered within this many milliseconds on the telephone; see [`Queue::goal_ms`] for other media.
    pub(super) voice_goal_ms: i64,
    /// How often conversations are for this queue, relative to the others.
    pub(super) weight: f64,
    pub(super) media: &'static [Media],
    /// The users who can serve it: those of its division who were ever hired into it.
    pub(super) members: Vec<u8>,
    /// How often each member serves: who has left turns up now and then in reports, and so here.
    pub(super) member_weights: Vec<f64>,
}

impl Queue {
    /// How soon a conversation of this medium should be answered, in milliseconds.
    pub(super) fn goal_ms(&self, media: Media) -> i64 {
        match media {
            Media::Voice => self.voice_goal_ms,
            Media::Chat => 30_000,
            Media::Message => 60_000,
            Media::Callback => 2 * 3_600_000,
            Media::Email => 4 * 3_600_000,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UserState {
    Active,
    Inactive,
    Deleted,
}

impl UserState {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Deleted => "deleted",
        }
    }
}

pub(super) struct User {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) division: u8,
    pub(super) title: &'static str,
    pub(super) state: UserState,
}

pub(super) struct WrapUpCode {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
    /// A deleted code is in no listing any more, though conversations carry it.
    pub(super) deleted: bool,
}

pub(super) struct Flow {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
}

/// A presence the organisation offers its users.
pub(super) struct Presence {
    pub(super) id: Uuid,
    /// The platform's presence it is a kind of.
    pub(super) system: SystemPresence,
}

pub(super) struct Customer {
    pub(super) contact_id: Uuid,
    pub(super) name: String,
    /// `tel:+49...`, from the ranges the German regulator keeps free for fiction.
    pub(super) phone: String,
    pub(super) email: String,
}

/// Index of the home division, to which whatever has no queue and no user belongs.
pub(super) const HOME: u8 = 0;
const SERVICE: u8 = 1;
const SALES: u8 = 2;

const ALL_MEDIA: &[Media] = &[Media::Voice, Media::Chat, Media::Email, Media::Message, Media::Callback];
const VOICE_AND_MAIL: &[Media] = &[Media::Voice, Media::Email, Media::Callback];
const NO_CHAT: &[Media] = &[Media::Voice, Media::Email, Media::Message, Media::Callback];

/// Name, division, percentage, goal on the telephone, weight, media.
type QueueRow = (&'static str, u8, f64, i64, f64, &'static [Media]);

const QUEUES: [QueueRow; 8] = [
    ("Support", SERVICE, 0.8, 20_000, 26.0, ALL_MEDIA),
    ("Technical Support", SERVICE, 0.75, 30_000, 16.0, ALL_MEDIA),
    ("Billing", SERVICE, 0.8, 20_000, 16.0, NO_CHAT),
    ("Returns", SERVICE, 0.8, 30_000, 8.0, ALL_MEDIA),
    ("Sales", SALES, 0.9, 15_000, 16.0, ALL_MEDIA),
    ("Key Accounts", SALES, 0.95, 10_000, 5.0, VOICE_AND_MAIL),
    ("Order Desk", SALES, 0.85, 20_000, 8.0, NO_CHAT),
    ("IT Help Desk", HOME, 0.7, 60_000, 5.0, ALL_MEDIA),
];

const FIRST_NAMES: [&str; 20] = [
    "Ada", "Bruno", "Clara", "Dimitri", "Elif", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Katja", "Liam", "Mira",
    "Noah", "Olga", "Pavel", "Rosa", "Samir", "Tilda", "Viktor",
];

const LAST_NAMES: [&str; 31] = [
    "Abel", "Brandt", "Conti", "Dorn", "Ekberg", "Falk", "Graf", "Hansen", "Ivanova", "Jansen", "Keller", "Lang",
    "Moreau", "Nowak", "Okafor", "Peters", "Quist", "Rossi", "Sommer", "Tanaka", "Unger", "Vogel", "Weiss", "Yilmaz",
    "Zander", "Arnold", "Becker", "Costa", "Duval", "Engel", "Fuchs",
];

const USERS: usize = 40;
const CUSTOMERS: usize = 600;

impl Directory {
    pub(super) fn new(seed: u64) -> Self {
        let id = |kind: &str, index: usize| Dice::new(seed, kind, i64::try_from(index).unwrap_or(0)).id();
        let named = |kind: &'static str, names: &[&'static str]| {
            let with_id = |(index, name): (usize, &&'static str)| Named {
                id: id(kind, index),
                name,
            };
            names.iter().enumerate().map(with_id).collect::<Vec<_>>()
        };
        let users = users(&id);
        Self {
            divisions: named("division", &["Home", "Customer Service", "Sales"]),
            queues: queues(&id, &users),
            users,
            wrap_up_codes: wrap_up_codes(&id),
            skills: named(
                "skill",
                &["Hardware", "Network", "Invoices", "Contracts", "Premium", "Complaints"],
            ),
            languages: named("language", &["English", "German", "French"]),
            flows: flows(&id),
            flow_outcomes: (0..2).map(|index| id("flow outcome", index)).collect(),
            flow_milestone: id("flow milestone", 0),
            customers: customers(&id),
            presences: presences(&id),
        }
    }

    /// Position of the organisation's first presence of that kind.
    pub(super) fn presence(&self, system: SystemPresence) -> usize {
        let position = self.presences.iter().position(|presence| presence.system == system);
        position.expect("every kind of presence is in the list")
    }
}

fn queues(id: &impl Fn(&str, usize) -> Uuid, users: &[User]) -> Vec<Queue> {
    let queue = |(index, &(name, division, percentage, voice_goal_ms, weight, media)): (usize, &QueueRow)| {
        let members = || (0_u8..).zip(users).filter(|(_, user)| user.division == division);
        Queue {
            id: id("queue", index),
            name,
            division,
            percentage,
            voice_goal_ms,
            weight,
            media,
            members: members().map(|(position, _)| position).collect(),
            member_weights: members()
                .map(|(_, user)| if user.state == UserState::Active { 1.0 } else { 0.1 })
                .collect(),
        }
    };
    QUEUES.iter().enumerate().map(queue).collect()
}

fn users(id: &impl Fn(&str, usize) -> Uuid) -> Vec<User> {
    let user = |index: usize| {
        let (first, last) = (FIRST_NAMES[index % 20], LAST_NAMES[index * 3 % 31]);
        User {
            id: id("user", index),
            name: format!("{first} {last}"),
            email: format!("{}.{}@example.com", first.to_lowercase(), last.to_lowercase()),
            division: match index {
                0..22 => SERVICE,
                22..34 => SALES,
                _ => HOME,
            },
            title: if index % 11 == 10 { "Team Lead" } else { "Agent" },
            state: match index {
                20 | 33 => UserState::Deleted,
                21 => UserState::Inactive,
                _ => UserState::Active,
            },
        }
    };
    (0..USERS).map(user).collect()
}

fn wrap_up_codes(id: &impl Fn(&str, usize) -> Uuid) -> Vec<WrapUpCode> {
    let names = [
        "Resolved",
        "Information given",
        "Follow-up needed",
        "Escalated",
        "Order placed",
        "Order changed",
        "Refund agreed",
        "Complaint",
        "Technical fault",
        "No answer",
        "Voicemail left",
        "Wrong number",
        "Other (old)",
    ];
    let code = |(index, name): (usize, &&'static str)| WrapUpCode {
        id: id("wrap-up code", index),
        name,
        deleted: index + 1 == names.len(),
    };
    names.iter().enumerate().map(code).collect()
}

fn flows(id: &impl Fn(&str, usize) -> Uuid) -> Vec<Flow> {
    let flows = [
        ("Main menu", "INBOUNDCALL"),
        ("Sales line", "INBOUNDCALL"),
        ("Chat entry", "INBOUNDCHAT"),
        ("Mail entry", "INBOUNDEMAIL"),
        ("Message entry", "INBOUNDSHORTMESSAGE"),
    ];
    let flow = |(index, &(name, kind)): (usize, &_)| Flow {
        id: id("flow", index),
        name,
        kind,
    };
    flows.iter().enumerate().map(flow).collect()
}

fn customers(id: &impl Fn(&str, usize) -> Uuid) -> Vec<Customer> {
    let customer = |index: usize| {
        let (first, last) = (FIRST_NAMES[index * 7 % 20], LAST_NAMES[index % 31]);
        Customer {
            contact_id: id("customer", index),
            name: format!("{first} {last}"),
            phone: format!("tel:+493023125{index:03}"),
            email: format!("{}.{}{index}@example.net", first.to_lowercase(), last.to_lowercase()),
        }
    };
    (0..CUSTOMERS).map(customer).collect()
}

/// One for each of the platform's, and a second kind of meeting: one to one.
const PRESENCES: [SystemPresence; 10] = [
    SystemPresence::Available,
    SystemPresence::Away,
    SystemPresence::Break,
    SystemPresence::Busy,
    SystemPresence::Meal,
    SystemPresence::Meeting,
    SystemPresence::Meeting,
    SystemPresence::Offline,
    SystemPresence::OnQueue,
    SystemPresence::Training,
];

fn presences(id: &impl Fn(&str, usize) -> Uuid) -> Vec<Presence> {
    let presence = |(index, system): (usize, &SystemPresence)| Presence {
        id: id("presence", index),
        system: *system,
    };
    PRESENCES.iter().enumerate().map(presence).collect()
}
