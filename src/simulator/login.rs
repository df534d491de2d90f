//! The login service: client credentials in, an opaque token out, and what has become of every token since.
//!
//! Speaks the OAuth error shape, not the platform's. The client-credentials grant is here, that of people in
//! [`person`](super::person).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderMap, StatusCode, Uri, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Simulator, errors::PlatformError, http::Exchange, person::Worthless};

/// `POST /oauth/token`.
pub(super) async fn token(
    State(simulator): State<Simulator>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    // The form is the documented place; the real service also takes the grant from the query string.
    let query = uri.query().unwrap_or_default().as_bytes();
    let grant = form_field(exchange.body.as_deref().unwrap_or_default(), "grant_type")
        .or_else(|| form_field(query, "grant_type"));
    if let Some(grant @ ("authorization_code" | "refresh_token")) = grant.as_deref() {
        return log_in_person(&simulator, exchange.body.as_deref().unwrap_or_default(), grant);
    }
    let client = basic_credentials(&headers);
    let issued = simulator
        .logins()
        .log_in(client, grant.as_deref(), simulator.now(), simulator.random());
    issued.map_or_else(LoginError::into_response, |issued| {
        let mut answer = issued.answer();
        if let Some(announced) = simulator.announced_lifetime() {
            answer["expires_in"] = announced.clone();
        }
        if answer["expires_in"].is_null()
            && let Some(fields) = answer.as_object_mut()
        {
            fields.remove("expires_in");
        }
        let mut response = Json(answer).into_response();
        response.extensions_mut().insert(issued.number);
        response
    })
}

fn log_in_person(simulator: &Simulator, form: &[u8], grant: &str) -> Response {
    let family = match simulator.people().redeem(form, grant, simulator.now()) {
        Ok(family) => family,
        Err(Worthless { error, ended }) => {
            for number in ended {
                simulator.logins().revoke(number);
            }
            return error.into_response();
        }
    };
    let issued = simulator.logins().issue(simulator.now(), simulator.random());
    let refresh_token = BASE64_URL_SAFE_NO_PAD.encode(simulator.random::<64>());
    let mut answer = issued.answer();
    answer["refresh_token"] = json!(refresh_token);
    simulator.people().note(family, issued.number, refresh_token);
    let mut response = Json(answer).into_response();
    response.extensions_mut().insert(issued.number);
    response
}

/// Which of the tokens this is, counted from 1 in the order of issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenNumber(pub(super) u64);

/// The OAuth client and its tokens.
#[derive(Debug)]
pub(super) struct Logins {
    client_id: String,
    lifetime: Duration,
    state: Mutex<Issuance>,
}

/// A token just issued.
#[derive(Debug)]
pub(super) struct Issued {
    number: TokenNumber,
    access_token: String,
    expires_in_s: u64,
}

impl Issued {
    fn answer(&self) -> Value {
        json!({ "access_token": self.access_token, "token_type": "bearer", "expires_in": self.expires_in_s })
    }
}

impl Logins {
    /// A client without tokens yet.
    pub(super) fn new(client_id: String, client_secret: String, lifetime: Duration) -> Self {
        let state = Issuance {
            client_secret,
            tokens: HashMap::new(),
        };
        Self {
            client_id,
            lifetime,
            state: Mutex::new(state),
        }
    }

    /// Issues a token; past ten live ones the oldest dies.
    pub(super) fn log_in(
        &self,
        client: Option<(String, String)>,
        grant: Option<&str>,
        now: Timestamp,
        random: [u8; 64],
    ) -> Result<Issued, LoginError> {
        let (id, secret) = client.ok_or(LoginError::UnknownClient)?;
        if id != self.client_id {
            return Err(LoginError::UnknownClient);
        }
        if secret != self.state().client_secret {
            return Err(LoginError::WrongSecret);
        }
        match grant {
            Some("client_credentials") => {}
            Some(_) => return Err(LoginError::UnsupportedGrant),
            None => return Err(LoginError::NoGrant),
        }
        Ok(self.issue(now, random))
    }

    /// Issues a token to whoever has been found entitled to it; past ten live ones the oldest dies.
    fn issue(&self, now: Timestamp, random: [u8; 64]) -> Issued {
        let mut state = self.state();
        let access_token = BASE64_URL_SAFE_NO_PAD.encode(random);
        let number = TokenNumber(state.tokens.len() as u64 + 1);
        let dies_at = now.saturating_add(self.lifetime).unwrap_or(Timestamp::MAX);
        state.tokens.insert(access_token.clone(), Token { number, dies_at });
        state.end_oldest_past(MAX_LIVE_TOKENS, now);
        Issued {
            number,
            access_token,
            expires_in_s: self.lifetime.as_secs().saturating_sub(1),
        }
    }

    /// The live token a request carries.
    pub(super) fn authenticate(&self, headers: &HeaderMap, now: Timestamp) -> Result<TokenNumber, PlatformError> {
        let bearer = bearer(headers).ok_or_else(PlatformError::authentication_required)?;
        let state = self.state();
        let token = state.tokens.get(bearer).filter(|token| token.dies_at > now);
        token
            .map(|token| token.number)
            .ok_or_else(PlatformError::bad_credentials)
    }

    /// The token a request carries, dead or alive, if it was ever issued here.
    pub(super) fn recognise(&self, headers: &HeaderMap) -> Option<TokenNumber> {
        self.state().tokens.get(bearer(headers)?).map(|token| token.number)
    }

    /// Ends one token.
    pub(super) fn revoke(&self, number: TokenNumber) {
        let mut state = self.state();
        let found = state.tokens.values_mut().find(|token| token.number == number);
        if let Some(token) = found {
            token.dies_at = Timestamp::MIN;
        }
    }

    /// Ends every token issued so far.
    pub(super) fn revoke_all(&self) {
        for token in self.state().tokens.values_mut() {
            token.dies_at = Timestamp::MIN;
        }
    }

    /// Every token issued so far, dead ones included.
    pub(super) fn issued(&self) -> Vec<String> {
        self.state().tokens.keys().cloned().collect()
    }

    /// Changes the client's secret. Tokens got with the old one live on.
    pub(super) fn set_secret(&self, client_secret: String) {
        self.state().client_secret = client_secret;
    }

    fn state(&self) -> MutexGuard<'_, Issuance> {
        self.state.lock().expect("the token store does not panic")
    }
}

/// Why the login service issues no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginError {
    UnknownClient,
    WrongSecret,
    NoGrant,
    UnsupportedGrant,
    InvalidGrant,
}

impl LoginError {
    /// In the OAuth shape. The text for an unknown client has been seen; statuses and the other texts have not.
    fn into_response(self) -> Response {
        let (status, error, description) = match self {
            Self::UnknownClient => (StatusCode::UNAUTHORIZED, "invalid_client", "client not found"),
            Self::WrongSecret => (StatusCode::UNAUTHORIZED, "invalid_client", "authentication failed"),
            Self::NoGrant => (StatusCode::BAD_REQUEST, "invalid_request", "grant_type is required"),
            Self::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant", "the grant is not valid"),
            Self::UnsupportedGrant => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "grant_type is not supported",
            ),
        };
        let body = json!({ "error": error, "description": description, "error_description": description });
        (status, Json(body)).into_response()
    }
}

/// As the vendor once stated for a user or client.
const MAX_LIVE_TOKENS: usize = 10;

#[derive(Debug)]
struct Issuance {
    client_secret: String,
    tokens: HashMap<String, Token>,
}

impl Issuance {
    fn end_oldest_past(&mut self, most: usize, now: Timestamp) {
        let mut live: Vec<_> = self.tokens.values_mut().filter(|token| token.dies_at > now).collect();
        live.sort_unstable_by_key(|token| token.number.0);
        let surplus = live.len().saturating_sub(most);
        for token in live.into_iter().take(surplus) {
            token.dies_at = Timestamp::MIN;
        }
    }
}

#[derive(Debug)]
struct Token {
    number: TokenNumber,
    dies_at: Timestamp,
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    after_scheme(headers, "bearer")
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = BASE64_STANDARD.decode(after_scheme(headers, "basic")?).ok()?;
    let (id, secret) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn after_scheme<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

pub(super) fn form_field(form: &[u8], name: &str) -> Option<String> {
    let found = form_urlencoded::parse(form).find(|(field, _)| field == name);
    found.map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins() -> Logins {
        Logins::new("id".to_owned(), "secret".to_owned(), Duration::from_mins(5))
    }

    fn client(id: &str, secret: &str) -> (String, String) {
        (id.to_owned(), secret.to_owned())
    }

    fn with_token(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("bearer {token}").parse().unwrap());
        headers
    }

    const GRANT: Option<&str> = Some("client_credentials");

    #[test]
    fn a_wrong_login_is_refused_with_its_reason() {
        let cases = [
            (None, GRANT, LoginError::UnknownClient),
            (Some(client("other", "secret")), GRANT, LoginError::UnknownClient),
            (Some(client("id", "wrong")), GRANT, LoginError::WrongSecret),
            (
                Some(client("id", "secret")),
                Some("password"),
                LoginError::UnsupportedGrant,
            ),
            (Some(client("id", "secret")), None, LoginError::NoGrant),
        ];
        for (client, grant, expected) in cases {
            let refused = logins().log_in(client, grant, Timestamp::UNIX_EPOCH, [0; 64]);
            assert_eq!(refused.unwrap_err(), expected);
        }
    }

    #[test]
    fn tokens_die_of_age_of_revocation_and_of_number() {
        let logins = logins();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let log_in = |seed: u8, now| {
            logins
                .log_in(Some(client("id", "secret")), GRANT, now, [seed; 64])
                .unwrap()
        };
        let lives = |token: &Issued, now| logins.authenticate(&with_token(&token.access_token), now).is_ok();

        let tokens: Vec<_> = (0..10).map(|seed| log_in(seed, at(0))).collect();
        assert_eq!(tokens[0].expires_in_s, 299);
        assert!(tokens.iter().all(|token| lives(token, at(0))));
        let eleventh = log_in(10, at(1));
        assert_eq!(
            tokens
                .iter()
                .map(|token| lives(token, at(1)))
                .filter(|live| !live)
                .count(),
            1
        );
        assert!(!lives(&tokens[0], at(1)) && lives(&eleventh, at(1)));
        assert_eq!(
            logins.recognise(&with_token(&tokens[0].access_token)),
            Some(TokenNumber(1))
        );

        logins.revoke(tokens[1].number);
        assert!(!lives(&tokens[1], at(1)) && lives(&tokens[2], at(1)));
        assert!(lives(&tokens[2], at(299)) && !lives(&tokens[2], at(300)) && lives(&eleventh, at(300)));

        logins.revoke_all();
        assert!(!lives(&eleventh, at(300)));
        assert!(lives(&log_in(11, at(300)), at(300)));
    }

    #[test]
    fn a_changed_secret_leaves_tokens_alone() {
        let logins = logins();
        let now = Timestamp::UNIX_EPOCH;
        let token = logins
            .log_in(Some(client("id", "secret")), GRANT, now, [0; 64])
            .unwrap();
        logins.set_secret("new".to_owned());
        let refused = logins.log_in(Some(client("id", "secret")), GRANT, now, [1; 64]);
        assert_eq!(refused.unwrap_err(), LoginError::WrongSecret);
        assert!(logins.log_in(Some(client("id", "new")), GRANT, now, [2; 64]).is_ok());
        assert!(logins.authenticate(&with_token(&token.access_token), now).is_ok());
    }
}
