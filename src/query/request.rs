//! What a person wrote: the contract's query, unchecked.

/// The fields of a reporting query, as JSON body or query-string parameters.
#[derive(Clone, Debug, Default, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueryRequest {
    /// Which page.
    pub page: Option<u32>,
    /// Rows on a page.
    pub page_size: Option<u32>,
}

impl QueryRequest {
    /// Placeholder.
    pub fn from_json(_body: &serde_json::Value) -> Result<Self, Vec<super::Complaint>> {
        Ok(Self::default())
    }

    /// Placeholder.
    pub fn from_pairs(_pairs: &[(String, String)]) -> Result<Self, Vec<super::Complaint>> {
        Ok(Self::default())
    }
}

impl super::Query {
    /// Placeholder.
    pub fn parse(_: &QueryRequest, _: jiff::Timestamp, _: &super::Limits) -> Result<Self, Vec<super::Complaint>> {
        Err(Vec::new())
    }
}

impl Default for super::Limits {
    fn default() -> Self {
        Self {
            range_days: 366,
            buckets: 10_000,
            page_size: 1000,
        }
    }
}
