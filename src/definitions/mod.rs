//! Named reports: a query with a name, parameters and derived columns, written once in a TOML file.
//!
//! A [`Definition`] is a checked file ([`parse`]); with arguments it becomes a question ([`bind`]), the same a caller
//! could have asked at `/v1/query`, `/v1/conversations`, `/v1/users/details`, `/v1/now/queues` or `/v1/now/users`, so nothing
//! below knows that reports exist. Once the rows are there, [`mod@derive`] adds what can be worked out from each of them. All of that is pure; only [`library`], which
//! holds the built-in definitions and those of the directory, reads files.

pub mod bind;
pub mod derive;
pub mod library;
pub mod parse;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use bind::{Bound, Places};
pub use derive::Derived;
pub use library::{Library, Shelf};

/// A report that can be asked for by its name.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What it is asked for by: lower-case words with dashes.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it shows.
    pub description: String,
    /// What a caller may vary, in the order of the file.
    pub parameters: Vec<Parameter>,
    /// What it lists.
    pub subject: Subject,
    /// The question, with [placeholders](bind) for parameters.
    pub question: Map<String, Value>,
    /// Columns worked out from those of each row, in their order, behind them.
    pub derived: Vec<Derived>,
    /// Titles of columns, where they are not the usual ones.
    pub titles: BTreeMap<String, String>,
    /// Whether it is kept [warm](crate::warm) while somebody reads it.
    pub refresh: bool,
    /// The file it was read from.
    pub source: String,
    /// Whether it came with the service.
    pub is_built_in: bool,
}

/// What a report lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Figures: the question is a [`QueryRequest`](crate::query::QueryRequest).
    Figures,
    /// Single conversations: the question is a [`ConversationRequest`](crate::query::ConversationRequest).
    Conversations,
    /// Queues as they are at this moment: the question is a [`NowRequest`](crate::query::NowRequest).
    Now,
    /// What users were, one by one: the question is a [`StatesRequest`](crate::query::StatesRequest).
    States,
    /// Users as they are at this moment: the question is a [`UsersNowRequest`](crate::query::UsersNowRequest).
    UsersNow,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Figures,
        Self::Conversations,
        Self::Now,
        Self::States,
        Self::UsersNow,
    ];

    /// What a row of it is, in lists of reports.
    pub const fn lists(self) -> &'static str {
        match self {
            Self::Figures => "figures",
            Self::Conversations => "conversations",
            Self::Now => "queues",
            Self::States => "states",
            Self::UsersNow => "users",
        }
    }

    /// The table of a file that holds the question.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Figures => "query",
            Self::Conversations => "conversations",
            Self::Now => "now",
            Self::States => "states",
            Self::UsersNow => "usersNow",
        }
    }
}

/// What a caller may vary.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// What it is set by.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it does.
    pub description: String,
    /// What it takes.
    pub kind: Kind,
    /// Whether it takes a list: by commas, or repeated.
    pub is_list: bool,
    /// Whether there is no answer without it.
    pub is_required: bool,
    /// What stands for it when it is not given; with neither, what it stands in is left out of the question.
    pub default: Option<Value>,
    /// A value to try.
    pub example: Option<Value>,
}

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An instant, a day, or a relative one: where a range begins.
    RangeStart,
    /// The same: where a range ends.
    RangeEnd,
    /// Any text.
    Text,
    /// One of these.
    Choice(Vec<String>),
    /// Ids of queues, or their names; stands for a whole clause of a filter.
    Queues,
    /// The same of users.
    Agents,
    /// An IANA time zone.
    TimeZone,
    /// The length of a bucket.
    Interval,
    /// A whole number, not below the first nor above the second.
    Number(u32, u32),
}

impl Kind {
    /// Whether it stands for a whole clause of a filter: the dimensions of ids and of names.
    pub const fn clause(&self) -> Option<[&'static str; 2]> {
        match self {
            Self::Queues => Some(["routing.queue.id", "routing.queue.name"]),
            Self::Agents => Some(["agent.id", "agent.name"]),
            Self::RangeStart
            | Self::RangeEnd
            | Self::Text
            | Self::Choice(_)
            | Self::TimeZone
            | Self::Interval
            | Self::Number(..) => None,
        }
    }

    /// Its name in files and in lists of reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RangeStart => "range-start",
            Self::RangeEnd => "range-end",
            Self::Text => "text",
            Self::Choice(_) => "choice",
            Self::Queues => "queues",
            Self::Agents => "agents",
            Self::TimeZone => "timezone",
            Self::Interval => "interval",
            Self::Number(..) => "number",
        }
    }
}
