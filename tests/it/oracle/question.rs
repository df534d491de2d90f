//! Random questions, and what they mean.

use std::collections::BTreeSet;

use genesys_reports::simulator::organisation::Listing;
use jiff::{Timestamp, tz::TimeZone};
use rand::{
    RngExt,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};

use super::{
    any_range,
    figures::{Facts, Totals},
};

/// A question as it is asked, and what it means.
pub(super) struct Question {
    pub(super) body: Value,
    pub(super) range: (Timestamp, Timestamp),
    pub(super) zone: TimeZone,
    /// ISO-8601; none is one bucket.
    pub(super) granularity: Option<&'static str>,
    /// In order of their friendly names, which is the order rows come in.
    pub(super) groups: Vec<&'static Dimension>,
    pub(super) filters: Vec<(&'static Dimension, BTreeSet<String>)>,
    pub(super) columns: Vec<Column>,
    /// Column, and whether the largest comes first.
    pub(super) order: Vec<(usize, bool)>,
    pub(super) limit: Option<usize>,
    pub(super) page: usize,
    pub(super) page_size: usize,
    pub(super) fill: bool,
}

pub(super) struct Dimension {
    pub(super) friendly: &'static str,
    pub(super) upstream: &'static str,
    pub(super) named: Option<(&'static str, Listing)>,
}

pub(super) struct Metric {
    pub(super) friendly: &'static str,
    pub(super) upstream: &'static str,
    pub(super) kind: Kind,
    /// No agent is involved.
    pub(super) of_queue: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    /// `nConversations`
    Distinct,
    Timer,
    /// Like a timer, without percentiles.
    Measure,
    /// `oServiceLevel`
    Level,
    /// `oServiceTarget`
    Goal,
}

#[derive(Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) shows: Shows,
}

#[derive(Clone, Copy)]
pub(super) enum Shows {
    Interval,
    Id(&'static Dimension),
    Name(&'static Dimension),
    Figure(&'static Metric, &'static str),
    Kpi(&'static Kpi),
}

pub(super) struct Kpi {
    pub(super) name: &'static str,
    /// The events it is made of.
    pub(super) reads: &'static [&'static str],
    /// Some of them happen where no agent is involved.
    pub(super) of_queue: bool,
    /// From counts and sums of events by name; what is divided by zero is no number.
    pub(super) figure: fn(&Totals<'_>) -> f64,
}

impl Question {
    pub(super) fn any(random: &mut StdRng, now: Timestamp, days: u32, facts: &Facts) -> Self {
        let (start, end) = any_range(random, now, days);
        let zone_name = *ZONES.choose(random).unwrap();
        let zone = TimeZone::get(zone_name).unwrap();
        let granularity = any_granularity(random, (start, end));
        let mut groups = any_groups(random);
        let filters = any_filters(random, facts);

        let by = |upstream: &str| {
            let filtered = filters.iter().any(|(dimension, _)| dimension.upstream == upstream);
            filtered || groups.iter().any(|group| group.upstream == upstream)
        };
        let pinned = |(dimension, values): &(&Dimension, BTreeSet<String>)| {
            dimension.upstream == "mediaType" && values.len() == 1
        };
        let one_media_type = groups.iter().any(|group| group.upstream == "mediaType") || filters.iter().any(pinned);
        let mut columns = any_columns(random, &groups, by("userId"), one_media_type);
        let selected: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let selects_interval = columns.iter().any(|column| matches!(column.shows, Shows::Interval));
        if granularity.is_some() && !selects_interval {
            columns.insert(0, Column::interval());
        }
        let order = any_order(random, &columns);
        let keys: Vec<_> = order
            .iter()
            .map(|(column, descending)| format!("{}{}", if *descending { "-" } else { "" }, columns[*column].name))
            .collect();
        let fill = random.random_bool(0.3) && !by("conversationId");
        let limit = random.random_bool(0.2).then(|| random.random_range(1..30));
        let (page, page_size) = (random.random_range(1..4), *[1, 7, 100, 1000].choose(random).unwrap());

        let mut body = json!({
            "dateFrom": spelled(random, start, &zone, false),
            "dateTo": spelled(random, end, &zone, true),
            "timeZone": zone_name,
            "select": selected,
            "orderBy": keys,
            "page": page,
            "pageSize": page_size,
        });
        let groups_follow_from_columns = groups.iter().all(|group| {
            let shows = |column: &Column| matches!(column.shows, Shows::Id(one) | Shows::Name(one) if std::ptr::eq(one, *group));
            columns.iter().any(shows)
        });
        if !groups_follow_from_columns || random.random_bool(0.5) {
            body["groupBy"] = groups
                .iter()
                .map(|group| either(random, group.friendly, group.upstream))
                .collect();
        }
        if let Some(granularity) = granularity {
            body["interval"] = granularity.into();
        }
        if !filters.is_empty() {
            let clause = |(dimension, values): &(&Dimension, BTreeSet<String>)| json!({ "dimension": either(random, dimension.friendly, dimension.upstream), "values": values });
            body["filter"] = filters.iter().map(clause).collect();
        }
        if let Some(limit) = limit {
            body["limit"] = limit.into();
        }
        if fill {
            body["fill"] = "zero".into();
        }
        groups.sort_by_key(|group| group.friendly);
        Self {
            body,
            range: (start, end),
            zone,
            granularity,
            groups,
            filters,
            columns,
            order,
            limit,
            page,
            page_size,
            fill,
        }
    }
}

impl Column {
    fn interval() -> Self {
        Self {
            name: "interval".to_owned(),
            shows: Shows::Interval,
        }
    }
}

fn either(random: &mut StdRng, one: &'static str, other: &'static str) -> &'static str {
    if random.random_bool(0.5) { one } else { other }
}

/// Buckets by the hundreds, or one.
fn any_granularity(random: &mut StdRng, (start, end): (Timestamp, Timestamp)) -> Option<&'static str> {
    let minutes = end.duration_since(start).as_mins();
    let few = |(_, length): &&(&str, i64)| minutes / length <= 700;
    let choices: Vec<_> = GRANULARITIES.iter().filter(few).collect();
    random.random_bool(0.8).then(|| choices.choose(random).unwrap().0)
}

/// With about how many minutes each lasts.
const GRANULARITIES: [(&str, i64); 14] = [
    ("PT1M", 1),
    ("PT5M", 5),
    ("PT15M", 15),
    ("PT30M", 30),
    ("PT1H", 60),
    ("PT90M", 90),
    ("PT2H", 120),
    ("PT4H", 240),
    ("PT6H", 360),
    ("PT8H", 480),
    ("PT12H", 720),
    ("P1D", 1_440),
    ("P1W", 10_080),
    ("P1M", 43_200),
];

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/St_Johns",
];

fn any_groups(random: &mut StdRng) -> Vec<&'static Dimension> {
    let mut all: Vec<_> = DIMENSIONS.iter().collect();
    all.shuffle(random);
    all.truncate(*[0, 0, 1, 1, 1, 2, 2, 3].choose(random).unwrap());
    all
}

fn any_filters(random: &mut StdRng, facts: &Facts) -> Vec<(&'static Dimension, BTreeSet<String>)> {
    let mut all: Vec<_> = DIMENSIONS.iter().collect();
    all.shuffle(random);
    all.truncate(*[0, 0, 0, 1, 1, 2].choose(random).unwrap());
    let values = |dimension: &'static Dimension| {
        let known = &facts.values[dimension.upstream];
        let count = *[1, 1, 2, 5].choose(random).unwrap();
        let mut values: BTreeSet<String> = known.sample(random, count).cloned().collect();
        if values.is_empty() || random.random_bool(0.1) {
            values.insert("nobody-has-this".to_owned());
        }
        (dimension, values)
    };
    all.into_iter().map(values).collect()
}

fn any_columns(
    random: &mut StdRng,
    groups: &[&'static Dimension],
    by_agent: bool,
    one_media_type: bool,
) -> Vec<Column> {
    let mut columns = Vec::new();
    for group in groups {
        if random.random_bool(0.9) {
            let name = either(random, group.friendly, group.upstream).to_owned();
            columns.push(Column {
                name,
                shows: Shows::Id(group),
            });
        }
        if let Some((name, _)) = group.named.filter(|_| random.random_bool(0.4)) {
            columns.push(Column {
                name: name.to_owned(),
                shows: Shows::Name(group),
            });
        }
    }
    let allowed: Vec<(&'static Metric, &'static str)> = METRICS
        .iter()
        .filter(|metric| !(by_agent && metric.of_queue))
        .flat_map(|metric| {
            metric
                .kind
                .statistics()
                .iter()
                .map(move |statistic| (metric, *statistic))
        })
        .filter(|(metric, statistic)| one_media_type || !(metric.kind == Kind::Goal || statistic.starts_with('p')))
        .collect();
    let count = random.random_range(1..6);
    for (metric, statistic) in allowed.sample(random, count) {
        let stem = either(random, metric.friendly, metric.upstream);
        let is_only = metric.kind.statistics().len() == 1;
        let name = match *statistic {
            _ if is_only => stem.to_owned(),
            "ratio" if stem == metric.friendly => "service.level".to_owned(),
            statistic => format!("{stem}.{statistic}"),
        };
        columns.push(Column {
            name,
            shows: Shows::Figure(metric, statistic),
        });
    }
    let kpis: Vec<_> = KPIS.iter().filter(|kpi| !(by_agent && kpi.of_queue)).collect();
    let count = random.random_range(0..4);
    for kpi in kpis.sample(random, count) {
        // Some are columns of metrics, by the same name.
        if columns.iter().all(|column| column.name != kpi.name) {
            columns.push(Column {
                name: kpi.name.to_owned(),
                shows: Shows::Kpi(kpi),
            });
        }
    }
    if random.random_bool(0.2) {
        columns.push(Column::interval());
    }
    columns.shuffle(random);
    columns
}

fn any_order(random: &mut StdRng, columns: &[Column]) -> Vec<(usize, bool)> {
    let mut all: Vec<usize> = (0..columns.len()).collect();
    all.shuffle(random);
    all.truncate(*[0, 0, 1, 2].choose(random).unwrap());
    all.into_iter()
        .map(|column| (column, random.random_bool(0.5)))
        .collect()
}

/// An instant in one of the ways people write it.
fn spelled(random: &mut StdRng, instant: Timestamp, zone: &TimeZone, is_end: bool) -> String {
    let zoned = instant.to_zoned_datetime(zone.clone());
    let is_told_apart = zone.to_ambiguous_timestamp(zoned.datetime()).is_ambiguous();
    match random.random_range(0..3) {
        _ if is_end && instant.as_millisecond().rem_euclid(60_000) == 0 && random.random_bool(0.5) => {
            // The last millisecond before it means the same.
            format!(
                "{:.3}",
                Timestamp::from_millisecond(instant.as_millisecond() - 1).unwrap()
            )
        }
        0 => zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        1 if !is_told_apart => zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
        _ => format!("{instant:.3}"),
    }
}

impl Kind {
    fn statistics(self) -> &'static [&'static str] {
        match self {
            Self::Counter | Self::Distinct => &["count"],
            Self::Timer => &["count", "sum", "average", "min", "max", "p95", "p99"],
            Self::Measure => &["count", "sum", "average", "min", "max"],
            Self::Level => &["ratio", "numerator", "denominator", "target"],
            Self::Goal => &["current"],
        }
    }
}

pub(super) static DIMENSIONS: &[Dimension] = &[
    named("routing.queue.id", "queueId", "routing.queue.name", Listing::Queues),
    named("agent.id", "userId", "agent.name", Listing::Users),
    named("division.id", "divisionId", "division.name", Listing::Divisions),
    named("wrapup.code.id", "wrapUpCode", "wrapup.code.name", Listing::WrapUpCodes),
    named(
        "skill.requested.id",
        "requestedRoutingSkillId",
        "skill.requested.name",
        Listing::Skills,
    ),
    named(
        "routing.language.id",
        "requestedLanguageId",
        "routing.language.name",
        Listing::Languages,
    ),
    plain("media.type", "mediaType"),
    plain("direction", "direction"),
    plain("conversation.direction", "originatingDirection"),
    plain("conversation.id", "conversationId"),
    plain("participant.purpose", "purpose"),
    plain("message.type", "messageType"),
    plain("routing.used", "usedRouting"),
    plain("flow.out.type", "flowOutType"),
    // Nobody has one.
    plain("team.id", "teamId"),
];

static METRICS: &[Metric] = &[
    metric("conversation.count", "nConversations", Kind::Distinct),
    metric("conversation.connected", "nConnected", Kind::Counter),
    metric("conversation.transferred", "nTransferred", Kind::Counter),
    metric("conversation.over.sla", "nOverSla", Kind::Counter),
    metric("transfer.blind", "nBlindTransferred", Kind::Counter),
    metric("alert.expired", "nAlertExpired", Kind::Counter),
    metric("conversation.outbound", "nOutbound", Kind::Counter),
    // Never happens here.
    metric("conversation.takeover", "nTakeover", Kind::Counter),
    of_queue("conversation.offered", "nOffered", Kind::Counter),
    metric("handle.time", "tHandle", Kind::Timer),
    metric("acw.time", "tAcw", Kind::Timer),
    metric("talk.time", "tTalkComplete", Kind::Timer),
    metric("talk.piece.time", "tTalk", Kind::Timer),
    metric("hold.time", "tHeldComplete", Kind::Timer),
    metric("answer.time", "tAnswered", Kind::Timer),
    metric("alert.time", "tAlert", Kind::Timer),
    metric("message.turn", "oMessageTurn", Kind::Measure),
    of_queue("abandon.time", "tAbandon", Kind::Timer),
    of_queue("wait.time", "tWait", Kind::Timer),
    of_queue("acd.time", "tAcd", Kind::Timer),
    of_queue("flow.out.time", "tFlowOut", Kind::Timer),
    of_queue("ivr.time", "tIvr", Kind::Timer),
    of_queue("service", "oServiceLevel", Kind::Level),
    of_queue("service.goal", "oServiceTarget", Kind::Goal),
];

pub(super) static KPIS: &[Kpi] = &[
    of_agent("conversation.answered", &["tAnswered"], |of| of.count("tAnswered")),
    of_agent("conversation.over.sla", &["nOverSla"], |of| of.count("nOverSla")),
    of_agent("asa", &["tAnswered"], |of| of.sum("tAnswered") / of.count("tAnswered")),
    of_agent("answer.time.average", &["tAnswered"], |of| {
        of.sum("tAnswered") / of.count("tAnswered")
    }),
    of_agent("aht", &["tHandle"], |of| of.sum("tHandle") / of.count("tHandle")),
    of_agent("handle.time.average", &["tHandle"], |of| {
        of.sum("tHandle") / of.count("tHandle")
    }),
    of_agent("att", &["tTalkComplete"], |of| {
        of.sum("tTalkComplete") / of.count("tTalkComplete")
    }),
    of_agent("talk.time.average", &["tTalkComplete"], |of| {
        of.sum("tTalkComplete") / of.count("tTalkComplete")
    }),
    of_agent("acw.time.average", &["tAcw"], |of| of.sum("tAcw") / of.count("tAcw")),
    of_agent("hold.time.average", &["tHeldComplete"], |of| {
        of.sum("tHeldComplete") / of.count("tHeldComplete")
    }),
    of_agent("hold.share", &["tHeldComplete", "tHandle"], |of| {
        of.sum("tHeldComplete") / of.sum("tHandle")
    }),
    of_agent("transfer.rate", &["nTransferred", "tHandle"], |of| {
        of.count("nTransferred") / of.count("tHandle")
    }),
    of_agent("blind.transfer.rate", &["nBlindTransferred", "tHandle"], |of| {
        of.count("nBlindTransferred") / of.count("tHandle")
    }),
    of_agent("consult.transfer.rate", &["nConsultTransferred", "tHandle"], |of| {
        of.count("nConsultTransferred") / of.count("tHandle")
    }),
    of_agent("over.sla.rate", &["nOverSla", "tAnswered"], |of| {
        of.count("nOverSla") / of.count("tAnswered")
    }),
    of_agent(
        "outbound.connect.rate",
        &["nOutboundConnected", "nOutboundAttempted"],
        |of| of.count("nOutboundConnected") / of.count("nOutboundAttempted"),
    ),
    // Nobody calls back here.
    of_agent("callback.attempted", &["nCallbackAttempts"], |of| {
        of.count("nCallbackAttempts")
    }),
    of_agent("callback.connect.time.count", &["tCallbackConnect"], |of| {
        of.count("tCallbackConnect")
    }),
    of_agent("callback.abandon.time.count", &["tCallbackAbandon"], |of| {
        of.count("tCallbackAbandon")
    }),
    of_agent("callback.service.level", &["oCallbackServiceLevel"], |of| {
        of.sum("oCallbackServiceLevel") / of.count("oCallbackServiceLevel")
    }),
    with_queue("conversation.offered", &["nOffered"], |of| of.count("nOffered")),
    with_queue("conversation.abandoned", &["tAbandon"], |of| of.count("tAbandon")),
    with_queue("conversation.short.abandoned", &["tShortAbandon"], |of| {
        of.count("tShortAbandon")
    }),
    with_queue("conversation.flow.out", &["tFlowOut"], |of| of.count("tFlowOut")),
    with_queue("answer.rate", &["tAnswered", "nOffered"], |of| {
        of.count("tAnswered") / of.count("nOffered")
    }),
    with_queue("abandon.rate", &["tAbandon", "nOffered"], |of| {
        of.count("tAbandon") / of.count("nOffered")
    }),
    with_queue("short.abandon.rate", &["tShortAbandon", "nOffered"], |of| {
        of.count("tShortAbandon") / of.count("nOffered")
    }),
    with_queue("abandon.net.count", &["tAbandon", "tShortAbandon"], |of| {
        of.count("tAbandon") - of.count("tShortAbandon")
    }),
    with_queue("abandon.net.rate", &["tAbandon", "tShortAbandon", "nOffered"], |of| {
        let offered = of.count("nOffered") - of.count("tShortAbandon");
        if offered > 0.0 {
            (of.count("tAbandon") - of.count("tShortAbandon")) / offered
        } else {
            f64::NAN
        }
    }),
    with_queue("flow.out.rate", &["tFlowOut", "nOffered"], |of| {
        of.count("tFlowOut") / of.count("nOffered")
    }),
    // Each event is worth 1 when it was in time, and 0 when it was not.
    with_queue("service.level", &["oServiceLevel"], |of| {
        of.sum("oServiceLevel") / of.count("oServiceLevel")
    }),
];

const fn of_agent(name: &'static str, reads: &'static [&'static str], figure: fn(&Totals<'_>) -> f64) -> Kpi {
    Kpi {
        name,
        reads,
        of_queue: false,
        figure,
    }
}

const fn with_queue(name: &'static str, reads: &'static [&'static str], figure: fn(&Totals<'_>) -> f64) -> Kpi {
    Kpi {
        of_queue: true,
        ..of_agent(name, reads, figure)
    }
}

const fn plain(friendly: &'static str, upstream: &'static str) -> Dimension {
    Dimension {
        friendly,
        upstream,
        named: None,
    }
}

const fn named(friendly: &'static str, upstream: &'static str, name: &'static str, listing: Listing) -> Dimension {
    Dimension {
        friendly,
        upstream,
        named: Some((name, listing)),
    }
}

const fn metric(friendly: &'static str, upstream: &'static str, kind: Kind) -> Metric {
    Metric {
        friendly,
        upstream,
        kind,
        of_queue: false,
    }
}

const fn of_queue(friendly: &'static str, upstream: &'static str, kind: Kind) -> Metric {
    Metric {
        friendly,
        upstream,
        kind,
        of_queue: true,
    }
}
