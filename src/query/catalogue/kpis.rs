//! KPIs: figures that are put together from statistics that add.
//!
//! A formula is made of parts that add over buckets and disjoint groups, and is worked out after they have been
//! added: the average of a week comes from its sum and its count, never from the averages of its days. Parts are
//! looked up while this is compiled, so that a formula of an unknown metric, or of a statistic that does not add,
//! is no program.
//!
//! A figure that is a column of a metric already (`service.level`, `handle.time.average`) is listed under that
//! column's name and has no second one; the abbreviations everybody knows are accepted beside it. Whoever changes a
//! formula raises its version.

use std::fmt;

use super::{METRICS, Metric, Rollup, Side, Statistic, Unit, column};
use crate::query::{ColumnValue, Source};

/// Every KPI.
pub static KPIS: &[Kpi] = &[
    kpi(
        "conversation.offered",
        total(&[count("nOffered")]),
        "Offered: conversations that entered a queue.",
    ),
    kpi(
        "conversation.answered",
        total(&[count("tAnswered")]),
        "Answered: conversations an agent answered.",
    ),
    kpi(
        "conversation.abandoned",
        total(&[count("tAbandon")]),
        "Abandoned: conversations given up in a queue, short abandons included.",
    ),
    kpi(
        "conversation.short.abandoned",
        total(&[count("tShortAbandon")]),
        "Short abandons: conversations given up sooner than the organisation's threshold.",
    ),
    kpi(
        "conversation.flow.out",
        total(&[count("tFlowOut")]),
        "Flow-outs: conversations that left a queue for elsewhere, neither answered nor abandoned.",
    ),
    kpi(
        "conversation.over.sla",
        total(&[count("nOverSla")]),
        "Over SLA: conversations answered later than the service level allows.",
    ),
    kpi(
        "answer.rate",
        quotient(&[count("tAnswered")], &[count("nOffered")]),
        "Answer rate: share of the conversations offered that were answered.",
    ),
    kpi(
        "abandon.rate",
        quotient(&[count("tAbandon")], &[count("nOffered")]),
        "Abandon rate: share of the conversations offered that were given up.",
    ),
    kpi(
        "short.abandon.rate",
        quotient(&[count("tShortAbandon")], &[count("nOffered")]),
        "Short-abandon rate: share of the conversations offered that were given up soon.",
    ),
    kpi(
        "abandon.net.count",
        difference(&[count("tAbandon")], &[count("tShortAbandon")]),
        "Abandoned without short abandons.",
    )
    .differs("Abandon in Genesys Cloud includes short abandons."),
    kpi(
        "abandon.net.rate",
        Formula::Quotient(
            Terms {
                plus: &[count("tAbandon")],
                minus: &[count("tShortAbandon")],
            },
            Terms {
                plus: &[count("nOffered")],
                minus: &[count("tShortAbandon")],
            },
        ),
        "Abandon rate with short abandons left out, of those offered as well.",
    )
    .differs("Abandon % in Genesys Cloud is Abandoned / Offered: it includes short abandons."),
    kpi(
        "flow.out.rate",
        quotient(&[count("tFlowOut")], &[count("nOffered")]),
        "Flow-out rate: share of the conversations offered that left the queue for elsewhere.",
    ),
    kpi(
        "over.sla.rate",
        quotient(&[count("nOverSla")], &[count("tAnswered")]),
        "Over-SLA rate: share of the conversations answered that were answered too late.",
    ),
    kpi(
        "service.level",
        quotient(
            &[part("oServiceLevel", Statistic::Numerator)],
            &[part("oServiceLevel", Statistic::Denominator)],
        ),
        "Service level, from the numerator and denominator Genesys Cloud gives: whether short abandons and flow-outs \
         count in them is the organisation's setting, so it cannot be had from other counts.",
    ),
    kpi(
        "answer.time.average",
        quotient(&[part("tAnswered", Statistic::Sum)], &[count("tAnswered")]),
        "Average speed of answer (ASA).",
    )
    .abbreviated("asa"),
    kpi(
        "handle.time.average",
        quotient(&[part("tHandle", Statistic::Sum)], &[count("tHandle")]),
        "Average handle time (AHT): contacting, dialling, talk, hold and after-call work.",
    )
    .abbreviated("aht"),
    kpi(
        "talk.time.average",
        quotient(&[part("tTalkComplete", Statistic::Sum)], &[count("tTalkComplete")]),
        "Average talk time (ATT), per interaction and not per piece between holds.",
    )
    .abbreviated("att"),
    kpi(
        "acw.time.average",
        quotient(&[part("tAcw", Statistic::Sum)], &[count("tAcw")]),
        "Average after-call work of the interactions that had any.",
    )
    .differs("Average After Call Work in the gamification of Genesys Cloud divides by all interactions."),
    kpi(
        "hold.time.average",
        quotient(&[part("tHeldComplete", Statistic::Sum)], &[count("tHeldComplete")]),
        "Average time on hold of the interactions that were held.",
    )
    .differs("Average Hold in the gamification of Genesys Cloud divides by all interactions."),
    kpi(
        "hold.share",
        quotient(
            &[part("tHeldComplete", Statistic::Sum)],
            &[part("tHandle", Statistic::Sum)],
        ),
        "Hold share: share of the handle time that was spent on hold.",
    ),
    kpi(
        "transfer.rate",
        quotient(&[count("nTransferred")], &[count("tHandle")]),
        "Transfer rate: transfers, blind or after consulting, per conversation handled.",
    )
    .differs("Calls Transferred Ratio in the gamification of Genesys Cloud is of calls only, and of all calls."),
    kpi(
        "blind.transfer.rate",
        quotient(&[count("nBlindTransferred")], &[count("tHandle")]),
        "Blind-transfer rate: transfers without consulting first, per conversation handled.",
    ),
    kpi(
        "consult.transfer.rate",
        quotient(&[count("nConsultTransferred")], &[count("tHandle")]),
        "Consult-transfer rate: transfers after consulting, per conversation handled.",
    ),
    kpi(
        "callback.attempted",
        total(&[count("nCallbackAttempts")]),
        "Callbacks attempted.",
    ),
    kpi(
        "callback.connect.time.count",
        total(&[count("tCallbackConnect")]),
        "Callbacks that connected.",
    ),
    kpi(
        "callback.abandon.time.count",
        total(&[count("tCallbackAbandon")]),
        "Callbacks given up.",
    ),
    kpi(
        "callback.service.level",
        quotient(
            &[part("oCallbackServiceLevel", Statistic::Numerator)],
            &[part("oCallbackServiceLevel", Statistic::Denominator)],
        ),
        "Service level of callbacks, from the numerator and denominator Genesys Cloud gives.",
    ),
    kpi(
        "outbound.connect.rate",
        quotient(&[count("nOutboundConnected")], &[count("nOutboundAttempted")]),
        "Outbound connect rate: share of the campaign calls attempted that reached a customer.",
    ),
    // ---- users
    kpi(
        "logged.in.time",
        difference(&[state("presence.time")], &[state("presence.offline.time")]),
        "Logged in: time in any presence but offline.",
    ),
    kpi(
        "off.queue.time",
        difference(
            &[state("presence.time")],
            &[state("presence.offline.time"), state("presence.on.queue.time")],
        ),
        "Off queue while logged in.",
    ),
    kpi(
        "occupancy",
        quotient(&[state("routing.interacting.time")], &[state("presence.on.queue.time")]),
        "Occupancy: share of the time on queue that was spent with interactions, after-call work included.",
    ),
    kpi(
        "utilization",
        Formula::Quotient(
            Terms {
                plus: &[state("presence.on.queue.time")],
                minus: &[],
            },
            Terms {
                plus: &[state("presence.time")],
                minus: &[state("presence.offline.time")],
            },
        ),
        "Utilisation: share of the time logged in that was spent on queue.",
    ),
    kpi(
        "idle.share",
        quotient(&[state("routing.idle.time")], &[state("presence.on.queue.time")]),
        "Idle share: share of the time on queue that was spent waiting.",
    ),
    kpi(
        "not.responding.share",
        quotient(
            &[state("routing.not.responding.time")],
            &[state("presence.on.queue.time")],
        ),
        "Not-responding share: share of the time on queue that was spent after an alert nobody answered.",
    ),
    // ---- flows
    kpi(
        "flow.disconnect.rate",
        quotient(&[count("tFlowDisconnect")], &[count("nFlow")]),
        "Flow-disconnect rate: share of the flows entered that ended by a disconnect.",
    ),
    // ---- surveys
    kpi(
        "survey.response.rate",
        quotient(&[count("nSurveyResponses")], &[count("nSurveysSent")]),
        "Response rate: share of the surveys sent that were answered, wholly or in part.",
    ),
    kpi(
        "survey.nps.score",
        Formula::Quotient(
            Terms {
                plus: &[count("nSurveyNpsPromoters")],
                minus: &[count("nSurveyNpsDetractors")],
            },
            Terms {
                plus: &[count("nSurveyNpsResponses")],
                minus: &[],
            },
        ),
        "Net promoter score, from -1 to 1: promoters without detractors, of all who answered.",
    ),
];

/// A figure put together from statistics that add.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kpi {
    /// The friendly name of its column.
    pub name: &'static str,
    /// What everybody calls it; accepted as a column's name too.
    pub abbreviation: Option<&'static str>,
    /// Which formula of that name this is, from 1.
    pub version: u32,
    /// How it is worked out.
    pub formula: Formula,
    /// What it says, in one sentence.
    pub meaning: &'static str,
    /// How Genesys Cloud itself is known to define a figure of that name otherwise.
    pub differs: Option<&'static str>,
}

impl Kpi {
    /// What a column of that name shows: the metric's own figure, where that is the same.
    pub fn column(&'static self) -> ColumnValue {
        column(self.name).unwrap_or(ColumnValue::Kpi(self))
    }

    /// What its column is selected by: the friendly name and the abbreviation, if there is one.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.abbreviation)
    }

    /// The family it belongs to.
    pub fn source(&self) -> Source {
        let first = self.formula.parts().next();
        first.map_or(Source::Conversations, |part| part.metric.source)
    }

    /// Whether it can be told apart by agent: not if any of its parts belongs to the queue.
    pub fn by_agent(&self) -> bool {
        self.formula.parts().all(|part| part.metric.side == Side::Any)
    }

    const fn abbreviated(self, abbreviation: &'static str) -> Self {
        Self {
            abbreviation: Some(abbreviation),
            ..self
        }
    }

    const fn differs(self, how: &'static str) -> Self {
        Self {
            differs: Some(how),
            ..self
        }
    }
}

/// How a figure is worked out; displayed as `(tAbandon.count - tShortAbandon.count) / nOffered.count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Formula {
    /// Parts added and taken away.
    Total(Terms),
    /// The first divided by the second.
    Quotient(Terms, Terms),
}

impl Formula {
    /// The figure, from statistics of the whole. What did not happen is not reported and counts as none; where
    /// nothing happened, or there is nothing to divide by, there is no figure.
    pub fn value(&self, statistic: impl Fn(&Part) -> Option<f64>) -> Option<f64> {
        match self {
            Self::Total(terms) => terms.value(&statistic),
            Self::Quotient(dividend, divisor) => {
                let divisor = divisor.value(&statistic).filter(|divisor| *divisor > 0.0)?;
                Some(dividend.value(&statistic).unwrap_or(0.0) / divisor)
            }
        }
    }

    /// Every part, some perhaps twice.
    pub fn parts(&self) -> impl Iterator<Item = &'static Part> {
        let (first, second) = match self {
            Self::Total(terms) => (terms, None),
            Self::Quotient(dividend, divisor) => (dividend, Some(divisor)),
        };
        let of = |terms: &Terms| terms.plus.iter().chain(terms.minus);
        of(first).chain(second.map(of).into_iter().flatten())
    }

    /// The unit: like by like is a share, anything else keeps the unit of what is divided.
    pub fn unit(&self) -> Unit {
        match self {
            Self::Total(terms) => terms.unit(),
            Self::Quotient(dividend, divisor) if dividend.unit() == divisor.unit() => Unit::Ratio,
            Self::Quotient(dividend, _) => dividend.unit(),
        }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(terms) => terms.fmt(formatter),
            Self::Quotient(dividend, divisor) => {
                write!(formatter, "{} / {}", dividend.as_factor(), divisor.as_factor())
            }
        }
    }
}

/// Parts that are added, and parts that are taken away from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// At least one.
    plus: &'static [Part],
    minus: &'static [Part],
}

impl Terms {
    fn value(&self, statistic: impl Fn(&Part) -> Option<f64>) -> Option<f64> {
        let mut terms = self.plus.iter().chain(self.minus);
        let happened = terms.any(|part| statistic(part).is_some());
        let sum = |parts: &[Part]| parts.iter().filter_map(&statistic).sum::<f64>();
        happened.then(|| sum(self.plus) - sum(self.minus))
    }

    fn unit(&self) -> Unit {
        let [first, ..] = self.plus else {
            return Unit::Count;
        };
        first.metric.unit_of(first.statistic)
    }

    fn as_factor(&self) -> String {
        match (self.plus, self.minus) {
            ([_], []) => self.to_string(),
            _ => format!("({self})"),
        }
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.plus.iter().enumerate() {
            let sign = if index > 0 { " + " } else { "" };
            write!(formatter, "{sign}{part}")?;
        }
        self.minus.iter().try_for_each(|part| write!(formatter, " - {part}"))
    }
}

/// A statistic that adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Of which metric.
    pub metric: &'static Metric,
    /// Which.
    pub statistic: Statistic,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.metric.qualified(), self.statistic.suffix())
    }
}

/// How the figures of a column are worked out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The formula, in the upstream's names.
    pub formula: String,
    /// Its version, from 1.
    pub version: u32,
    /// The unit of the figure.
    pub unit: Unit,
    /// How Genesys Cloud itself is known to define it otherwise.
    pub differs: Option<&'static str>,
}

/// How a column that is worked out comes about; `None` for what is shown as the upstream reports it.
pub fn explanation(value: &ColumnValue) -> Option<Explanation> {
    if let Some(kpi) = KPIS.iter().find(|kpi| kpi.column() == *value) {
        return Some(Explanation {
            formula: kpi.formula.to_string(),
            version: kpi.version,
            unit: kpi.formula.unit(),
            differs: kpi.differs,
        });
    }
    let ColumnValue::Metric(metric, statistic) = value else {
        return None;
    };
    let (dividend, divisor) = match statistic {
        Statistic::Average => (Statistic::Sum, Statistic::Count),
        Statistic::Ratio => (Statistic::Numerator, Statistic::Denominator),
        Statistic::Count
        | Statistic::Sum
        | Statistic::Min
        | Statistic::Max
        | Statistic::Numerator
        | Statistic::Denominator
        | Statistic::Target
        | Statistic::Current
        | Statistic::P95
        | Statistic::P99 => return None,
    };
    Some(Explanation {
        formula: format!(
            "{0}.{1} / {0}.{2}",
            metric.upstream,
            dividend.suffix(),
            divisor.suffix()
        ),
        version: 1,
        unit: metric.unit_of(*statistic),
        differs: None,
    })
}

const fn kpi(name: &'static str, formula: Formula, meaning: &'static str) -> Kpi {
    Kpi {
        name,
        abbreviation: None,
        version: 1,
        formula,
        meaning,
        differs: None,
    }
}

const fn total(plus: &'static [Part]) -> Formula {
    Formula::Total(Terms { plus, minus: &[] })
}

const fn difference(plus: &'static [Part], minus: &'static [Part]) -> Formula {
    Formula::Total(Terms { plus, minus })
}

const fn quotient(dividend: &'static [Part], divisor: &'static [Part]) -> Formula {
    let (plus, minus): (_, &[Part]) = (dividend, &[]);
    Formula::Quotient(Terms { plus, minus }, Terms { plus: divisor, minus })
}

const fn count(upstream: &str) -> Part {
    part(upstream, Statistic::Count)
}

/// Time of users in a state, by its friendly name. Evaluated by the compiler only.
const fn state(name: &str) -> Part {
    let mut index = 0;
    while index < METRICS.len() {
        let metric = &METRICS[index];
        if is_same(metric.name, name) {
            assert!(
                matches!(metric.statistics, [Statistic::Sum]),
                "a state is told by its time"
            );
            let statistic = Statistic::Sum;
            return Part { metric, statistic };
        }
        index += 1;
    }
    panic!("a formula names a state that exists")
}

/// Evaluated by the compiler only: what it refuses does not compile.
const fn part(upstream: &str, statistic: Statistic) -> Part {
    let mut index = 0;
    while index < METRICS.len() {
        let metric = &METRICS[index];
        if is_same(metric.upstream, upstream) {
            let adds = matches!(
                (metric.rollup, statistic),
                (Rollup::Counter | Rollup::Timer, Statistic::Count)
                    | (Rollup::Timer, Statistic::Sum)
                    | (Rollup::Ratio, Statistic::Numerator | Statistic::Denominator)
            );
            assert!(adds, "a formula is made of statistics that add");
            return Part { metric, statistic };
        }
        index += 1;
    }
    panic!("a formula names a metric that exists")
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a figure is when its parts are these, worked out by hand; nothing where there is none.
    type Golden = (&'static str, &'static [(&'static str, f64)], Option<f64>);

    /// Parts that happened, by the names formulas print, then the figure. Whole figures were chosen where there are any,
    /// so that they can be checked by head.
    const GOLDEN: &[Golden] = &[
        ("conversation.offered", &[("nOffered.count", 40.0)], Some(40.0)),
        ("conversation.offered", &[], None),
        ("conversation.answered", &[("tAnswered.count", 30.0)], Some(30.0)),
        ("conversation.abandoned", &[("tAbandon.count", 8.0)], Some(8.0)),
        (
            "conversation.short.abandoned",
            &[("tShortAbandon.count", 3.0)],
            Some(3.0),
        ),
        ("conversation.flow.out", &[("tFlowOut.count", 2.0)], Some(2.0)),
        ("conversation.over.sla", &[("nOverSla.count", 6.0)], Some(6.0)),
        (
            "answer.rate",
            &[("tAnswered.count", 30.0), ("nOffered.count", 40.0)],
            Some(0.75),
        ),
        // Nobody was answered; nobody was offered; answered in a later bucket than offered.
        ("answer.rate", &[("nOffered.count", 40.0)], Some(0.0)),
        ("answer.rate", &[("tAnswered.count", 1.0)], None),
        (
            "answer.rate",
            &[("tAnswered.count", 3.0), ("nOffered.count", 2.0)],
            Some(1.5),
        ),
        (
            "abandon.rate",
            &[("tAbandon.count", 8.0), ("nOffered.count", 40.0)],
            Some(0.2),
        ),
        ("abandon.rate", &[("nOffered.count", 40.0)], Some(0.0)),
        (
            "abandon.rate",
            &[("tAbandon.count", 0.0), ("nOffered.count", 0.0)],
            None,
        ),
        (
            "short.abandon.rate",
            &[("tShortAbandon.count", 3.0), ("nOffered.count", 40.0)],
            Some(0.075),
        ),
        (
            "abandon.net.count",
            &[("tAbandon.count", 8.0), ("tShortAbandon.count", 3.0)],
            Some(5.0),
        ),
        ("abandon.net.count", &[("tAbandon.count", 8.0)], Some(8.0)),
        ("abandon.net.count", &[], None),
        // (8 - 3) / (43 - 3), not 5 / 43.
        (
            "abandon.net.rate",
            &[
                ("tAbandon.count", 8.0),
                ("tShortAbandon.count", 3.0),
                ("nOffered.count", 43.0),
            ],
            Some(0.125),
        ),
        // All who came gave up at once: nobody is left to divide by.
        (
            "abandon.net.rate",
            &[
                ("tAbandon.count", 3.0),
                ("tShortAbandon.count", 3.0),
                ("nOffered.count", 3.0),
            ],
            None,
        ),
        (
            "flow.out.rate",
            &[("tFlowOut.count", 2.0), ("nOffered.count", 40.0)],
            Some(0.05),
        ),
        (
            "over.sla.rate",
            &[("nOverSla.count", 6.0), ("tAnswered.count", 30.0)],
            Some(0.2),
        ),
        // Whatever was offered, answered or abandoned: only what the upstream says counts.
        (
            "service.level",
            &[
                ("oServiceLevel.numerator", 24.0),
                ("oServiceLevel.denominator", 32.0),
                ("tAnswered.count", 30.0),
                ("nOffered.count", 40.0),
            ],
            Some(0.75),
        ),
        (
            "answer.time.average",
            &[("tAnswered.sum", 600_000.0), ("tAnswered.count", 30.0)],
            Some(20_000.0),
        ),
        (
            "handle.time.average",
            &[("tHandle.sum", 7_200_000.0), ("tHandle.count", 32.0)],
            Some(225_000.0),
        ),
        (
            "talk.time.average",
            &[("tTalkComplete.sum", 4_500_000.0), ("tTalkComplete.count", 30.0)],
            Some(150_000.0),
        ),
        (
            "acw.time.average",
            &[("tAcw.sum", 900_000.0), ("tAcw.count", 24.0)],
            Some(37_500.0),
        ),
        (
            "hold.time.average",
            &[("tHeldComplete.sum", 360_000.0), ("tHeldComplete.count", 8.0)],
            Some(45_000.0),
        ),
        (
            "hold.share",
            &[("tHeldComplete.sum", 360_000.0), ("tHandle.sum", 7_200_000.0)],
            Some(0.05),
        ),
        (
            "transfer.rate",
            &[("nTransferred.count", 4.0), ("tHandle.count", 32.0)],
            Some(0.125),
        ),
        (
            "blind.transfer.rate",
            &[("nBlindTransferred.count", 3.0), ("tHandle.count", 32.0)],
            Some(0.09375),
        ),
        (
            "consult.transfer.rate",
            &[("nConsultTransferred.count", 1.0), ("tHandle.count", 32.0)],
            Some(0.03125),
        ),
        ("callback.attempted", &[("nCallbackAttempts.count", 9.0)], Some(9.0)),
        (
            "callback.connect.time.count",
            &[("tCallbackConnect.count", 7.0)],
            Some(7.0),
        ),
        (
            "callback.abandon.time.count",
            &[("tCallbackAbandon.count", 2.0)],
            Some(2.0),
        ),
        (
            "callback.service.level",
            &[
                ("oCallbackServiceLevel.numerator", 6.0),
                ("oCallbackServiceLevel.denominator", 8.0),
            ],
            Some(0.75),
        ),
        (
            "outbound.connect.rate",
            &[("nOutboundConnected.count", 15.0), ("nOutboundAttempted.count", 60.0)],
            Some(0.25),
        ),
        // Of a day of 24 hours, eight logged in, six of them on queue, four and a half of these with interactions.
        (
            "logged.in.time",
            &[
                ("tSystemPresence.sum", 86_400_000.0),
                ("tSystemPresence:OFFLINE.sum", 57_600_000.0),
            ],
            Some(28_800_000.0),
        ),
        (
            "off.queue.time",
            &[
                ("tSystemPresence.sum", 86_400_000.0),
                ("tSystemPresence:OFFLINE.sum", 57_600_000.0),
                ("tSystemPresence:ON_QUEUE.sum", 21_600_000.0),
            ],
            Some(7_200_000.0),
        ),
        (
            "occupancy",
            &[
                ("tAgentRoutingStatus:INTERACTING.sum", 16_200_000.0),
                ("tSystemPresence:ON_QUEUE.sum", 21_600_000.0),
            ],
            Some(0.75),
        ),
        (
            "occupancy",
            &[("tSystemPresence:ON_QUEUE.sum", 21_600_000.0)],
            Some(0.0),
        ),
        ("occupancy", &[], None),
        (
            "utilization",
            &[
                ("tSystemPresence.sum", 86_400_000.0),
                ("tSystemPresence:OFFLINE.sum", 57_600_000.0),
                ("tSystemPresence:ON_QUEUE.sum", 21_600_000.0),
            ],
            Some(0.75),
        ),
        // A day off.
        (
            "utilization",
            &[
                ("tSystemPresence.sum", 86_400_000.0),
                ("tSystemPresence:OFFLINE.sum", 86_400_000.0),
            ],
            None,
        ),
        (
            "idle.share",
            &[
                ("tAgentRoutingStatus:IDLE.sum", 5_400_000.0),
                ("tSystemPresence:ON_QUEUE.sum", 21_600_000.0),
            ],
            Some(0.25),
        ),
        (
            "not.responding.share",
            &[
                ("tAgentRoutingStatus:NOT_RESPONDING.sum", 1_350_000.0),
                ("tSystemPresence:ON_QUEUE.sum", 21_600_000.0),
            ],
            Some(0.0625),
        ),
        (
            "flow.disconnect.rate",
            &[("tFlowDisconnect.count", 30.0), ("nFlow.count", 120.0)],
            Some(0.25),
        ),
        (
            "survey.response.rate",
            &[("nSurveyResponses.count", 12.0), ("nSurveysSent.count", 48.0)],
            Some(0.25),
        ),
        // Six promote, three detract, one does neither.
        (
            "survey.nps.score",
            &[
                ("nSurveyNpsPromoters.count", 6.0),
                ("nSurveyNpsDetractors.count", 3.0),
                ("nSurveyNpsResponses.count", 10.0),
            ],
            Some(0.3),
        ),
        (
            "survey.nps.score",
            &[("nSurveyNpsDetractors.count", 4.0), ("nSurveyNpsResponses.count", 4.0)],
            Some(-1.0),
        ),
        ("survey.nps.score", &[("nSurveyNpsResponses.count", 4.0)], Some(0.0)),
    ];

    #[test]
    fn figures_are_what_they_are_by_hand() {
        for (name, parts, expected) in GOLDEN {
            let kpi = KPIS.iter().find(|kpi| kpi.name == *name).unwrap();
            let statistic = |part: &Part| {
                let known = parts.iter().find(|(known, _)| *known == part.to_string());
                known.map(|(_, value)| *value)
            };
            assert_eq!(kpi.formula.value(statistic), *expected, "{name} of {parts:?}");
        }
        let golden: BTreeSet<&str> = GOLDEN.iter().map(|(name, ..)| *name).collect();
        assert_eq!(golden, KPIS.iter().map(|kpi| kpi.name).collect());
    }

    #[test]
    fn a_figure_that_a_metric_has_is_worked_out_the_same_way() {
        for kpi in KPIS {
            let listed = explanation(&kpi.column()).unwrap();
            let ColumnValue::Metric(metric, statistic) = kpi.column() else {
                assert_eq!(kpi.column(), ColumnValue::Kpi(kpi));
                continue;
            };
            let upstream = metric.upstream;
            let expected = match statistic {
                Statistic::Average => format!("{upstream}.sum / {upstream}.count"),
                Statistic::Ratio => format!("{upstream}.numerator / {upstream}.denominator"),
                other => format!("{upstream}.{}", other.suffix()),
            };
            assert_eq!(
                (listed.formula, listed.unit),
                (expected, metric.unit_of(statistic)),
                "{}",
                kpi.name
            );
            assert_eq!(metric.friendly(statistic), kpi.name, "the first name it has");
        }
    }

    #[test]
    fn formulas_read_as_they_are_worked_out() {
        static BOTH: Formula = quotient(&[count("tAnswered"), count("tAbandon")], &[count("nOffered")]);
        let formula = |name: &str| KPIS.iter().find(|kpi| kpi.name == name).unwrap().formula.to_string();
        for (name, expected) in [
            ("conversation.offered", "nOffered.count"),
            ("abandon.net.count", "tAbandon.count - tShortAbandon.count"),
            ("hold.share", "tHeldComplete.sum / tHandle.sum"),
            (
                "abandon.net.rate",
                "(tAbandon.count - tShortAbandon.count) / (nOffered.count - tShortAbandon.count)",
            ),
        ] {
            assert_eq!(formula(name), expected);
        }
        assert_eq!(BOTH.to_string(), "(tAnswered.count + tAbandon.count) / nOffered.count");
    }

    #[test]
    fn what_is_shown_as_reported_has_no_formula() {
        for (name, expected) in [
            ("wait.time.average", Some("tWait.sum / tWait.count")),
            ("aht", Some("tHandle.sum / tHandle.count")),
            ("handle.time.sum", None),
            ("handle.time.p95", None),
            ("service.goal", None),
            ("routing.queue.id", None),
            ("interval", None),
        ] {
            let found = explanation(&column(name).unwrap()).map(|explanation| explanation.formula);
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    /// The table of `docs/kpis.md` is this one.
    #[test]
    fn the_documentation_lists_these() {
        let row = |kpi: &Kpi| {
            let columns: Vec<_> = kpi.columns().map(|name| format!("`{name}`")).collect();
            let unit = match kpi.formula.unit() {
                Unit::Count => "count",
                Unit::Milliseconds => "ms",
                Unit::Ratio => "share",
                Unit::Points => "points",
            };
            let differs = kpi.differs.map(|differs| format!(" *{differs}*")).unwrap_or_default();
            format!(
                "| {} | {} | {unit} | `{}` | {}{differs} |",
                columns.join(", "),
                kpi.version,
                kpi.formula,
                kpi.meaning
            )
        };
        let expected: Vec<_> = KPIS.iter().map(row).collect();
        let document = include_str!("../../../docs/kpis.md");
        let found: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(found, expected, "docs/kpis.md should hold:\n{}", expected.join("\n"));
    }
}
