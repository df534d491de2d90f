//! What the upstream says of its jobs, as far as it has to be understood here.

use axum::http::Method;
use serde::Deserialize;

use super::{
    Worded, fits,
    paths::{Kind, PATHS},
};

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobStand {
    /// There is nothing to read yet.
    AtWork,
    /// What it brought can be read.
    Done,
    /// It came to nothing, or what it brought is gone.
    Over,
}

impl JobStand {
    /// As the state of a job says.
    pub(super) fn of(state: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct State {
            state: String,
        }
        match serde_json::from_slice::<State>(state) {
            Ok(State { state }) if state == "FULFILLED" => Self::Done,
            Ok(State { state }) if matches!(state.as_str(), "QUEUED" | "PENDING") => Self::AtWork,
            _ => Self::Over,
        }
    }
}

/// The question how a job stands that was begun at that path, by what the upstream said of it.
pub(super) fn state_of(jobs: &str, begun: &[u8]) -> Option<Worded> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Begun {
        job_id: String,
    }
    let Begun { job_id } = serde_json::from_slice(begun).ok()?;
    let is_meant = |path: &&super::Path| {
        path.kind == Kind::JobState
            && path.method == Method::GET
            && path.template.strip_prefix(jobs) == Some("/{jobId}")
    };
    let path = PATHS.iter().find(is_meant).filter(|_| fits("jobId", &job_id))?;
    Some(Worded {
        path,
        values: vec![("jobId".to_owned(), job_id)],
        pairs: Vec::new(),
        body: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_what_is_said_of_it() {
        let id = "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11";
        let kinds = ["conversations/details", "users/details", "flows/aggregates"];
        for jobs in kinds.map(|kind| format!("/api/v2/analytics/{kind}/jobs")) {
            let worded = state_of(&jobs, format!(r#"{{"jobId": "{id}"}}"#).as_bytes()).unwrap();
            assert_eq!(worded.question().target, format!("{jobs}/{id}"));
            for odd in [r#"{"jobId": "../x"}"#, r#"{"jobId": 5}"#, "{}", ""] {
                assert!(state_of(&jobs, odd.as_bytes()).is_none(), "{odd}");
            }
        }
        for (state, stand) in [
            ("QUEUED", JobStand::AtWork),
            ("PENDING", JobStand::AtWork),
            ("FULFILLED", JobStand::Done),
            ("FAILED", JobStand::Over),
            ("CANCELLED", JobStand::Over),
            ("EXPIRED", JobStand::Over),
        ] {
            assert_eq!(
                JobStand::of(format!(r#"{{"state": "{state}"}}"#).as_bytes()),
                stand,
                "{state}"
            );
        }
    }
}
