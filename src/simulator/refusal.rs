//! Why the simulated platform refuses a request, in the vendor's own words (its `ErrorBody`).

/// A refusal as the platform words it; the HTTP layer adds `contextId` and the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The dotted, lower-case code.
    pub code: &'static str,
    /// The sentence, parameters filled in.
    pub message: String,
}

impl Refusal {
    /// 400 with the given code and sentence.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
        }
    }
}
