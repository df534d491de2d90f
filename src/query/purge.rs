//! What may be dropped of what is held.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Complaint, Limits, Range, Source,
    parse::Check,
    request::{Fields, Kind, Reader, Written, body_of},
};

/// Which of what is held; all of it where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"source": "conversations", "dateFrom": "yesterday"}))]
pub struct PurgeRequest {
    /// Figures of this family only: `conversations`, with the conversations themselves, `users`, `flows`,
    /// `evaluations` or `surveys`.
    #[schema(max_length = 64, examples("conversations"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What touches a range that begins here only: as in a query, `yesterday` or `2023-11-01`.
    #[schema(max_length = 64, examples("yesterday", "2023-11-01"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_from: Option<String>,
    /// Where that range ends, not included; by default `now`, or the end of a range named in `dateFrom`.
    #[schema(max_length = 64, examples("now", "2023-12-01"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_to: Option<String>,
    /// The IANA time zone in which dates without offset are read; by default UTC.
    #[schema(max_length = 64, examples("Europe/Berlin", "UTC"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

const FIELDS: &Fields = &[
    ("source", Kind::Text),
    ("dateFrom", Kind::Text),
    ("dateTo", Kind::Text),
    ("timeZone", Kind::Text),
];

impl PurgeRequest {
    /// Reads decoded query-string parameters, or says everything that is wrong with them.
    pub fn from_pairs(pairs: &[(String, String)]) -> Written<Self> {
        let (body, complaints) = body_of(pairs, FIELDS);
        Reader::open(&body, FIELDS).after(complaints).finish(|reader| Self {
            source: reader.text("source"),
            date_from: reader.text("dateFrom"),
            date_to: reader.text("dateTo"),
            time_zone: reader.text("timeZone"),
        })
    }
}

/// Which of what is held is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Of this family; `None` for all of them.
    pub source: Option<Source>,
    /// What touches this range; `None` for all there is.
    pub range: Option<Range>,
}

impl Purge {
    /// Checks what was written, or says everything that is wrong with it.
    pub fn parse(request: &PurgeRequest, now: Timestamp) -> Result<Self, Vec<Complaint>> {
        // Dropping costs nothing here, however much it is.
        let limits = Limits {
            range_days: 366 * 100,
            ..Limits::default()
        };
        let mut check = Check::default();
        let source = request.source.as_deref().map(|name| check.source(Some(name)));
        let zone = check.time_zone(request.time_zone.as_deref());
        let range = match (&request.date_from, &request.date_to) {
            (Some(from), to) => check.range(from, to.as_deref(), now, &zone, &limits),
            (None, Some(_)) => {
                check.complain("/dateFrom", "a range that ends has a beginning");
                None
            }
            (None, None) => None,
        };
        if check.complaints.is_empty() {
            Ok(Self { source, range })
        } else {
            Err(check.refuse())
        }
    }

    /// As it is told to other replicas.
    pub(crate) fn to_text(self) -> String {
        let range = self
            .range
            .map(|range| [range.start, range.end].map(|instant| instant.to_string()));
        serde_json::json!([self.source.map(Source::name), range]).to_string()
    }

    /// What was told; all there is if it makes no sense here, as it may be of another version.
    pub(crate) fn from_text(text: &str) -> Self {
        let all = Self {
            source: None,
            range: None,
        };
        let Ok((source, range)) = serde_json::from_str::<(Option<String>, Option<(Timestamp, Timestamp)>)>(text) else {
            return all;
        };
        let known = |name: &String| Source::named(name);
        let known_range = range.map(|(start, end)| Range::new(start, end));
        match (source.as_ref().map(known), known_range) {
            (Some(None), _) | (_, Some(None)) => all,
            (source, range) => Self {
                source: source.flatten(),
                range: range.flatten(),
            },
        }
    }

    /// Whether figures of that family are meant.
    pub fn is_about(&self, source: Source) -> bool {
        self.source.is_none_or(|asked| asked == source)
    }

    /// Whether what covers that range is meant.
    pub fn touches(&self, range: Range) -> bool {
        self.range
            .is_none_or(|asked| asked.start < range.end && range.start < asked.end)
    }

    /// Whether everything is meant, of every family and time.
    pub fn is_all(&self) -> bool {
        self.source.is_none() && self.range.is_none()
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    fn parse(text: &str) -> Result<Purge, Vec<Complaint>> {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        PurgeRequest::from_pairs(&pairs).meaning(|request| Purge::parse(&request, now))
    }

    #[test]
    fn what_is_not_said_is_all() {
        for (text, source, range) in [
            ("", None, None),
            ("source=users", Some(Source::Users), None),
            (
                "dateFrom=yesterday",
                None,
                Some("2026-03-09T00:00:00.000Z/2026-03-10T00:00:00.000Z"),
            ),
            (
                "source=flows&dateFrom=2026-03-01&timeZone=Europe/Berlin",
                Some(Source::Flows),
                Some("2026-02-28T23:00:00.000Z/2026-03-10T12:00:00.000Z"),
            ),
            (
                "dateFrom=2001-01-01&dateTo=2026-03-01",
                None,
                Some("2001-01-01T00:00:00.000Z/2026-03-01T00:00:00.000Z"),
            ),
        ] {
            let purge = parse(text).unwrap();
            let told = purge.range.map(|range| range.to_string());
            assert_eq!((purge.source, told.as_deref()), (source, range), "{text}");
            assert_eq!(purge.is_all(), text.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_told_to_others_is_what_they_hear_and_nonsense_is_all() {
        for text in [
            "",
            "source=users",
            "dateFrom=yesterday",
            "source=flows&dateFrom=2026-03-01",
        ] {
            let purge = parse(text).unwrap();
            assert_eq!(Purge::from_text(&purge.to_text()), purge, "{text}");
        }
        for nonsense in [
            "",
            "{}",
            "[\"agents\",null]",
            "[null,[\"2026-03-02T00:00:00Z\",\"2026-03-01T00:00:00Z\"]]",
        ] {
            assert!(Purge::from_text(nonsense).is_all(), "{nonsense}");
        }
    }

    #[test]
    fn a_range_touches_what_it_shares_a_moment_with() {
        let purge = parse("dateFrom=2026-03-02&dateTo=2026-03-04").unwrap();
        for (day, touches) in [(1, false), (2, true), (3, true), (4, false)] {
            let start: Timestamp = format!("2026-03-0{day}T00:00:00Z").parse().unwrap();
            let range = Range::new(start, start + jiff::SignedDuration::from_hours(24)).unwrap();
            assert_eq!(purge.touches(range), touches, "{range}");
            assert!(parse("").unwrap().touches(range));
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (text, pointer) in [
            ("source=agents", "/source"),
            ("dateTo=now", "/dateFrom"),
            ("dateFrom=soon", "/dateFrom"),
            ("dateFrom=today&dateTo=yesterday", "/dateTo"),
            ("timeZone=Mars", "/timeZone"),
            ("family=users", "/family"),
        ] {
            let complaints = parse(text).unwrap_err();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            assert_eq!(complaints[0].pointer, pointer, "{text}");
        }
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(PurgeRequest::schema()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|(name, _)| properties.contains_key(*name)));
    }
}
