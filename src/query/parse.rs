//! From what was written to what is meant: every complaint at once, each with its place.

/// What is wrong with one place of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// JSON pointer into the request body (`/select/2`); the query-string form uses the same pointers.
    pub pointer: String,
    /// What is wrong, for the person who wrote it.
    pub detail: String,
    /// The nearest thing that would have been right.
    pub suggestion: Option<String>,
}

/// The bounds a request is held to before it may cost anything upstream.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest range, in days.
    pub range_days: u32,
    /// The most buckets of one answer.
    pub buckets: u32,
    /// The most rows of one page.
    pub page_size: u32,
}
