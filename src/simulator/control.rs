//! Addresses under `/_simulator`, which no Genesys Cloud has: read the journal, order faults, end tokens. For
//! people who play with the `simulate` command; tests call the [`Simulator`] itself.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use http::{HeaderMap, StatusCode, header};

use super::{
    Simulator,
    faults::{Fault, FaultScript},
    journal::Entry,
};

/// The routes. They are neither recorded nor subject to faults.
pub(super) fn router() -> Router<Simulator> {
    Router::new()
        .route("/_simulator/journal", get(journal).delete(clear_journal))
        .route(
            "/_simulator/faults",
            get(unused_faults).post(push_faults).delete(clear_faults),
        )
        .route("/_simulator/tokens", delete(revoke_tokens))
}

async fn journal(State(simulator): State<Simulator>) -> Json<Vec<Entry>> {
    Json(simulator.journal().entries())
}

async fn clear_journal(State(simulator): State<Simulator>) -> StatusCode {
    simulator.journal().clear();
    StatusCode::NO_CONTENT
}

async fn unused_faults(State(simulator): State<Simulator>) -> Json<Vec<Fault>> {
    Json(simulator.unused_faults())
}

/// Takes a script in JSON, if it is said to be JSON, or else in TOML.
async fn push_faults(State(simulator): State<Simulator>, headers: HeaderMap, script: String) -> Response {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let parsed = if media_type.is_some_and(|media_type| media_type.contains("json")) {
        FaultScript::from_json_str(&script)
    } else {
        FaultScript::from_toml_str(&script)
    };
    match parsed {
        Ok(script) => {
            simulator.push_faults(script.faults);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn clear_faults(State(simulator): State<Simulator>) -> StatusCode {
    simulator.clear_faults();
    StatusCode::NO_CONTENT
}

async fn revoke_tokens(State(simulator): State<Simulator>) -> StatusCode {
    simulator.revoke_tokens();
    StatusCode::NO_CONTENT
}
