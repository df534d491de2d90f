//! What may be asked of a listing of ids and names.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Complaint, Limits, Page,
    parse::Check,
    request::{Fields, Kind, Reader, Written, body_of},
};

/// Which of the ids and names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"search": "support", "page": 1, "pageSize": 25}))]
pub struct NamesRequest {
    /// A part of the name, in capitals or not.
    #[schema(max_length = 256, examples("support"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Which page, from 1.
    #[schema(minimum = 1, maximum = 1_000_000, default = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Names on a page.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
}

const FIELDS: &Fields = &[
    ("search", Kind::Text),
    ("page", Kind::Number),
    ("pageSize", Kind::Number),
];

const MAX_SEARCH_CHARS: usize = 256;

impl NamesRequest {
    /// Reads decoded query-string parameters, or says everything that is wrong with them.
    pub fn from_pairs(pairs: &[(String, String)]) -> Written<Self> {
        let (body, complaints) = body_of(pairs, FIELDS);
        Reader::open(&body, FIELDS).after(complaints).finish(|reader| Self {
            search: reader.text("search"),
            page: reader.number("page"),
            page_size: reader.number("pageSize"),
        })
    }
}

/// A checked question about a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesQuery {
    /// In lower case; empty is in every name.
    search: String,
    /// Which of the names found, by name, then by id.
    pub page: Page,
}

impl NamesQuery {
    /// Checks what was written, or says everything that is wrong with it.
    pub fn parse(request: &NamesRequest, limits: &Limits) -> Result<Self, Vec<Complaint>> {
        let mut check = Check::default();
        let search = request.search.as_deref().unwrap_or_default();
        if search.chars().nth(MAX_SEARCH_CHARS).is_some() {
            check.complain("/search", format!("this has at most {MAX_SEARCH_CHARS} characters"));
        }
        let page = check.page(request.page, request.page_size, limits.page_size);
        if check.complaints.is_empty() {
            let search = search.to_lowercase();
            Ok(Self { search, page })
        } else {
            Err(check.refuse())
        }
    }

    /// Whether a name is among those asked for.
    pub fn finds(&self, name: &str) -> bool {
        self.search.is_empty() || name.to_lowercase().contains(&self.search)
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    fn parse(text: &str) -> Result<NamesQuery, Vec<Complaint>> {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        NamesRequest::from_pairs(&pairs).meaning(|request| NamesQuery::parse(&request, &Limits::default()))
    }

    #[test]
    fn a_search_is_for_a_part_of_the_name_in_capitals_or_not() {
        for (text, name, finds) in [
            ("", "Support", true),
            ("search=", "Support", true),
            ("search=PORT", "Support", true),
            ("search=p.rt", "Support", false),
            ("search=ü", "ÜBERSEE", true),
            ("search=sales", "Support", false),
        ] {
            assert_eq!(parse(text).unwrap().finds(name), finds, "{text}");
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (text, pointer) in [
            ("page=0", "/page"),
            ("page=x", "/page"),
            ("pageSize=1001", "/pageSize"),
            ("serch=a", "/serch"),
            ("search=a&search=b", "/search"),
            (&*format!("search={}", "x".repeat(257)), "/search"),
        ] {
            let complaints = parse(text).unwrap_err();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            assert_eq!(complaints[0].pointer, pointer, "{text}");
        }
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(NamesRequest::schema()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|(name, _)| properties.contains_key(*name)));
    }
}
