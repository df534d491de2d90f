//! Which format an answer is written in: `format=`, or the best of what `Accept` allows (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, HeaderName, header};

use super::problem::{Problem, ProblemKind};

/// A format of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document: a page of objects, and where they came from.
    Json,
    /// One JSON document: typed columns, rows as arrays, and where they came from.
    Table,
    /// A JSON document per line.
    Ndjson,
    /// Comma-separated values, with a header.
    Csv,
    /// A workbook.
    Xlsx,
    /// Arrow record batches, as an IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// What rows and columns can be written in, the preferred first; conversations, too, which are documents as `json`
    /// and `ndjson`.
    pub const OF_ROWS: &[Self] = &[
        Self::Json,
        Self::Table,
        Self::Ndjson,
        Self::Csv,
        Self::Xlsx,
        Self::Arrow,
        Self::Parquet,
    ];
    /// What a single document is written in.
    pub const OF_ONE_DOCUMENT: &[Self] = &[Self::Json];

    /// Its name as `format=` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Table => "table",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// Its media type, without parameters.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Table => "application/vnd.genesys-reports.table+json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The media types it is known by.
    const fn media_types(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Json => &[("application", "json")],
            Self::Table => &[("application", "vnd.genesys-reports.table+json")],
            Self::Csv => &[("text", "csv")],
            Self::Xlsx => &[("application", "vnd.openxmlformats-officedocument.spreadsheetml.sheet")],
            Self::Ndjson => &[("application", "x-ndjson"), ("application", "ndjson")],
            Self::Arrow => &[("application", "vnd.apache.arrow.stream")],
            Self::Parquet => &[("application", "vnd.apache.parquet")],
        }
    }

    /// `Content-Type`: the media type, and what else a reader has to know.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json | Self::Table | Self::Ndjson | Self::Xlsx | Self::Arrow | Self::Parquet => self.media_type(),
        }
    }

    /// What its files' names end in, if it is a file to be kept rather than an answer to be looked at.
    pub const fn file_extension(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some("csv"),
            Self::Xlsx => Some("xlsx"),
            // Registered for the streaming format; `arrow` is the one with a footer.
            Self::Arrow => Some("arrows"),
            Self::Parquet => Some("parquet"),
            Self::Json | Self::Table | Self::Ndjson => None,
        }
    }

    /// Whether it shows a page where none is asked for. A machine that reads lines wants them all: pages are for
    /// people.
    pub const fn is_paged(self) -> bool {
        match self {
            Self::Json => true,
            Self::Table | Self::Ndjson | Self::Csv | Self::Xlsx | Self::Arrow | Self::Parquet => false,
        }
    }

    /// Whether compressing makes it smaller; the others are compressed as they are.
    pub const fn compresses(self) -> bool {
        match self {
            Self::Json | Self::Table | Self::Ndjson | Self::Csv | Self::Arrow => true,
            Self::Xlsx | Self::Parquet => false,
        }
    }

    /// The format of that name, if it is offered.
    pub fn named(name: &str, offered: &[Self]) -> Option<Self> {
        offered.iter().copied().find(|format| format.name() == name)
    }

    /// The best of those offered that the request's `Accept` allows.
    pub fn negotiate(headers: &HeaderMap, offered: &[Self]) -> Result<Self, Problem> {
        let accept = accept(headers);
        if accept.trim().is_empty() {
            return offered.first().copied().ok_or_else(|| nothing_acceptable(offered));
        }
        let ranges = ranges(&accept);
        let mut best = None;
        for &format in offered {
            let quality = quality_of(format.media_types(), &ranges);
            if quality > 0 && best.is_none_or(|(_, best_quality)| quality > best_quality) {
                best = Some((format, quality));
            }
        }
        best.map(|(format, _)| format)
            .ok_or_else(|| nothing_acceptable(offered))
    }
}

/// Whether the request's `Accept` allows this media type, of a route that answers in no other.
pub fn accepts(headers: &HeaderMap, main: &str, sub: &str) -> Result<(), Problem> {
    let accept = accept(headers);
    if accept.trim().is_empty() || quality_of(&[(main, sub)], &ranges(&accept)) > 0 {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::NotAcceptable).detail(format!("what exists: {main}/{sub}")))
}

/// Whether the request's `Accept-Encoding` prefers gzip to nothing (RFC 9110, 12.5.3). Who says nothing gets nothing.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let list = list(headers, header::ACCEPT_ENCODING);
    let codings = || list.split(',').filter_map(weighed);
    let quality = |coding: &str| {
        codings()
            .find(|(name, _)| name.eq_ignore_ascii_case(coding))
            .map(|(_, quality)| quality)
    };
    let gzip = quality("gzip").or_else(|| quality("x-gzip")).or_else(|| quality("*"));
    gzip.is_some_and(|gzip| gzip > 0 && gzip >= quality("identity").unwrap_or(0))
}

fn accept(headers: &HeaderMap) -> String {
    list(headers, header::ACCEPT)
}

fn list(headers: &HeaderMap, name: HeaderName) -> String {
    let fields = headers.get_all(name).iter();
    let texts: Vec<_> = fields.filter_map(|value| value.to_str().ok()).collect();
    texts.join(",")
}

fn ranges(accept: &str) -> Vec<MediaRange<'_>> {
    accept.split(',').filter_map(MediaRange::parse).collect()
}

fn nothing_acceptable(offered: &[Format]) -> Problem {
    let names: Vec<_> = offered.iter().map(|format| format.media_type()).collect();
    Problem::new(ProblemKind::NotAcceptable).detail(format!("what exists: {}", names.join(", ")))
}

/// One element of `Accept`.
struct MediaRange<'a> {
    main: &'a str,
    sub: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> MediaRange<'a> {
    /// `None` for what is not a media range; such an element is passed over.
    fn parse(element: &'a str) -> Option<Self> {
        let (range, quality) = weighed(element)?;
        let (main, sub) = range.split_once('/')?;
        Some(Self {
            main: main.trim(),
            sub: sub.trim(),
            quality,
        })
    }

    /// How closely it names that media type, if it does.
    fn specificity(&self, main: &str, sub: &str) -> Option<u8> {
        match (self.main, self.sub) {
            ("*", "*") => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(main) => Some(1),
            (own, own_sub) if own.eq_ignore_ascii_case(main) && own_sub.eq_ignore_ascii_case(sub) => Some(2),
            _ => None,
        }
    }
}

/// An element of a list with its weight in thousandths. `None` where that is no number.
fn weighed(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next()?;
    let weight = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let quality = match weight {
        Some((_, text)) => parse_quality(text.trim())?,
        None => 1000,
    };
    Some((name, quality))
}

/// Thousandths: `1`, `0.5`, `0.125`.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" if is_number => Some(thousandths),
        "1" if is_number && thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// The weight of the range that names one of these media types most closely, 0 when none does.
fn quality_of(names: &[(&str, &str)], ranges: &[MediaRange]) -> u16 {
    let matches = ranges.iter().filter_map(|range| {
        let closest = names
            .iter()
            .filter_map(|(main, sub)| range.specificity(main, sub))
            .max()?;
        Some((closest, range.quality))
    });
    matches
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_best_acceptable_format_is_chosen() {
        for (accept, expected) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("application/*", Some(Format::Json)),
            ("application/json", Some(Format::Json)),
            ("APPLICATION/JSON; charset=utf-8", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("application/ndjson", Some(Format::Ndjson)),
            ("text/csv;q=0.9, application/json;q=0.8", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("text/*;q=0.5, application/json;q=0.4", Some(Format::Csv)),
            ("text/csv;q=0, text/*", None),
            ("application/vnd.genesys-reports.table+json", Some(Format::Table)),
            (
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                Some(Format::Xlsx),
            ),
            ("application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            ("application/vnd.apache.parquet, text/csv;q=0.9", Some(Format::Parquet)),
            (
                "application/json;q=0.5, application/x-ndjson;q=0.8",
                Some(Format::Ndjson),
            ),
            ("application/json;q=0.5, application/x-ndjson;q=0.5", Some(Format::Json)),
            ("application/json;q=0, */*", Some(Format::Table)),
            ("application/json;q=0, application/*;q=0.001", Some(Format::Table)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Format::Json)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("application/json;q=0.12345", None),
            ("nonsense", None),
            ("nonsense, application/json", Some(Format::Json)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            let found = Format::negotiate(&headers, Format::OF_ROWS).ok();
            assert_eq!(found, expected, "Accept: {accept}");
        }
    }

    #[test]
    fn only_who_asks_is_sent_gzip() {
        for (accept, expected) in [
            ("", false),
            ("gzip", true),
            ("GZip", true),
            ("x-gzip", true),
            ("deflate, gzip, br, zstd", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip;q=0.0", false),
            ("*;q=0", false),
            ("br", false),
            ("identity", false),
            ("identity;q=1, gzip;q=0.5", false),
            ("identity;q=0.5, gzip", true),
            ("identity;q=0, *;q=0.1", true),
            ("gzip;q=nonsense", false),
            ("gzipped", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(accepts_gzip(&headers), expected, "Accept-Encoding: {accept}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_not_offered_is_not_chosen() {
        let headers = HeaderMap::from_iter([(
            header::ACCEPT,
            HeaderValue::from_static("application/vnd.genesys-reports.table+json, */*;q=0.1"),
        )]);
        assert_eq!(
            Format::negotiate(&headers, Format::OF_ONE_DOCUMENT).unwrap(),
            Format::Json
        );
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html"))]);
        assert!(Format::negotiate(&headers, Format::OF_ONE_DOCUMENT).is_err());
        assert_eq!(Format::named("xlsx", Format::OF_ONE_DOCUMENT), None);
        assert_eq!(Format::named("csv", Format::OF_ROWS), Some(Format::Csv));
    }

    #[test]
    fn several_accept_fields_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, HeaderValue::from_static("application/json;q=0.1"));
        headers.append(header::ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        assert_eq!(Format::negotiate(&headers, Format::OF_ROWS).unwrap(), Format::Ndjson);
        assert_eq!(
            Format::negotiate(&HeaderMap::new(), Format::OF_ROWS).unwrap(),
            Format::Json
        );
    }
}
