//! A person logs in, in a browser: the page, the code it gives, and the tokens the code is exchanged for.
//!
//! Authorization Code with PKCE (RFC 6749, RFC 7636), without a client secret. A refresh token is good once; when one is
//! used again, or a code is, everything that came of that login ends.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Extension,
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{StatusCode, Uri};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    Simulator,
    http::Exchange,
    login::{LoginError, TokenNumber, form_field},
};

/// The OAuth client of people; it has no secret.
pub const CLIENT_ID: &str = "simulated-person";

/// How long a code can be exchanged.
const CODE_LIFE: Duration = Duration::from_mins(1);

/// What the address of the login page asks for.
#[derive(Clone, Debug)]
struct Asked {
    redirect_uri: String,
    state: Option<String>,
    challenge: String,
}

/// `GET /oauth/authorize`: the login page.
pub(super) async fn page(uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let asked = match asked(query.as_bytes()) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let fields = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", &asked.redirect_uri),
        ("code_challenge", &asked.challenge),
        ("code_challenge_method", "S256"),
    ];
    let state = asked.state.iter().map(|state| ("state", state.as_str()));
    let hidden = fields
        .into_iter()
        .chain(state)
        .map(|(name, value)| format!("<input type=hidden name={name} value=\"{}\">", escaped(value)));
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Simulated Genesys Cloud</title>\
         <h1>Simulated Genesys Cloud</h1><p>An application wants to act as you.</p>\
         <form method=post action=/oauth/authorize>{}\
         <button id=allow name=decision value=allow>Log in</button> \
         <button id=deny name=decision value=deny>Cancel</button></form></html>",
        hidden.collect::<String>()
    ))
    .into_response()
}

/// `POST /oauth/authorize`: what was decided on the page.
pub(super) async fn decide(State(simulator): State<Simulator>, Extension(exchange): Extension<Exchange>) -> Response {
    let form = exchange.body.as_deref().unwrap_or_default();
    let asked = match asked(form) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let mut answer = form_urlencoded::Serializer::new(String::new());
    if form_field(form, "decision").as_deref() == Some("allow") {
        let code = BASE64_URL_SAFE_NO_PAD.encode(simulator.random::<32>());
        simulator.people().give_code(code.clone(), &asked, simulator.now());
        answer.append_pair("code", &code);
    } else {
        answer.append_pair("error", "access_denied");
    }
    if let Some(state) = &asked.state {
        answer.append_pair("state", state);
    }
    Redirect::to(&format!("{}?{}", asked.redirect_uri, answer.finish())).into_response()
}

/// What was asked for, or why the page cannot be shown: nobody is sent on to an address that is not registered.
fn asked(form: &[u8]) -> Result<Asked, (StatusCode, &'static str)> {
    let refuse = |why| Err((StatusCode::BAD_REQUEST, why));
    let field = |name: &str| form_field(form, name);
    if field("client_id").as_deref() != Some(CLIENT_ID) {
        return refuse("invalid client_id");
    }
    let Some(redirect_uri) = field("redirect_uri").filter(|uri| is_registered(uri)) else {
        return refuse("invalid redirect_uri");
    };
    if field("response_type").as_deref() != Some("code") {
        return refuse("unsupported response_type");
    }
    let challenge = field("code_challenge").filter(|challenge| challenge.len() == 43);
    let Some(challenge) = challenge.filter(|_| field("code_challenge_method").as_deref() == Some("S256")) else {
        return refuse("a code_challenge by S256 is required");
    };
    Ok(Asked {
        redirect_uri,
        state: field("state"),
        challenge,
    })
}

/// The simulated client registered `http://127.0.0.1:*/callback`.
fn is_registered(redirect_uri: &str) -> bool {
    let Ok(uri) = redirect_uri.parse::<Uri>() else {
        return false;
    };
    uri.scheme_str() == Some("http")
        && uri.host() == Some("127.0.0.1")
        && uri.port().is_some()
        && uri.path() == "/callback"
        && uri.query().is_none()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '<' => escaped.push_str("&lt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Which login something came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Family(u64);

/// Codes and refresh tokens.
#[derive(Debug, Default)]
pub(super) struct People(Mutex<Issued>);

#[derive(Debug, Default)]
struct Issued {
    codes: HashMap<String, Code>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<TokenNumber, Family>,
    families: u64,
}

#[derive(Debug)]
struct Code {
    family: Family,
    redirect_uri: String,
    challenge: String,
    dies_at: Timestamp,
    is_used: bool,
}

#[derive(Debug)]
struct RefreshToken {
    family: Family,
    is_used: bool,
}

/// Why a code or a refresh token is worth nothing, and the access tokens that end with it.
#[derive(Debug)]
pub(super) struct Worthless {
    pub(super) error: LoginError,
    pub(super) ended: Vec<TokenNumber>,
}

impl Worthless {
    fn because(error: LoginError) -> Self {
        let ended = Vec::new();
        Self { error, ended }
    }
}

impl People {
    fn give_code(&self, code: String, asked: &Asked, now: Timestamp) {
        let mut issued = self.issued();
        issued.families += 1;
        let code_of = Code {
            family: Family(issued.families),
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            dies_at: now.saturating_add(CODE_LIFE).unwrap_or(Timestamp::MAX),
            is_used: false,
        };
        issued.codes.insert(code, code_of);
    }

    /// The login that this token request continues: by its code, or by its refresh token, either of which is used up.
    pub(super) fn redeem(&self, form: &[u8], grant: &str, now: Timestamp) -> Result<Family, Worthless> {
        let field = |name: &str| form_field(form, name).unwrap_or_default();
        if field("client_id") != CLIENT_ID {
            return Err(Worthless::because(LoginError::UnknownClient));
        }
        let mut issued = self.issued();
        if grant == "refresh_token" {
            let Some(token) = issued.refresh_tokens.get_mut(&field("refresh_token")) else {
                return Err(Worthless::because(LoginError::InvalidGrant));
            };
            let family = token.family;
            if std::mem::replace(&mut token.is_used, true) {
                return Err(issued.end(family));
            }
            return Ok(family);
        }
        let Some(code) = issued.codes.get_mut(&field("code")) else {
            return Err(Worthless::because(LoginError::InvalidGrant));
        };
        let family = code.family;
        if std::mem::replace(&mut code.is_used, true) {
            return Err(issued.end(family));
        }
        let verifier = field("code_verifier");
        let is_proven = (43..=128).contains(&verifier.len())
            && BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == code.challenge;
        if code.dies_at <= now || code.redirect_uri != field("redirect_uri") || !is_proven {
            return Err(Worthless::because(LoginError::InvalidGrant));
        }
        Ok(family)
    }

    /// Notes what was issued to a login.
    pub(super) fn note(&self, family: Family, access_token: TokenNumber, refresh_token: String) {
        let mut issued = self.issued();
        issued.access_tokens.insert(access_token, family);
        let is_used = false;
        issued
            .refresh_tokens
            .insert(refresh_token, RefreshToken { family, is_used });
    }

    /// Ends the login this access token came of, if it came of one; the access tokens that end with it.
    pub(super) fn log_out(&self, access_token: TokenNumber) -> Vec<TokenNumber> {
        let mut issued = self.issued();
        match issued.access_tokens.get(&access_token).copied() {
            Some(family) => issued.end(family).ended,
            None => Vec::new(),
        }
    }

    /// Every refresh token issued so far: what to look for where none may be.
    pub(super) fn refresh_tokens(&self) -> Vec<String> {
        self.issued().refresh_tokens.keys().cloned().collect()
    }

    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

impl Issued {
    fn end(&mut self, family: Family) -> Worthless {
        for token in self.refresh_tokens.values_mut().filter(|token| token.family == family) {
            token.is_used = true;
        }
        let tokens = self.access_tokens.iter().filter(|(_, of)| **of == family);
        Worthless {
            error: LoginError::InvalidGrant,
            ended: tokens.map(|(number, _)| *number).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";
    const CALLBACK: &str = "http://127.0.0.1:1/callback";

    fn people() -> People {
        let people = People::default();
        let asked = Asked {
            redirect_uri: CALLBACK.to_owned(),
            state: None,
            challenge: BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)),
        };
        people.give_code("code".to_owned(), &asked, Timestamp::UNIX_EPOCH);
        people
    }

    fn form(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).finish().into_bytes()
    }

    #[test]
    fn only_the_one_who_asked_gets_tokens_for_a_code_and_only_once() {
        let right = [
            ("client_id", CLIENT_ID),
            ("code", "code"),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        for (index, wrong, error) in [
            (0, "another", LoginError::UnknownClient),
            (1, "another", LoginError::InvalidGrant),
            (2, "http://127.0.0.1:2/callback", LoginError::InvalidGrant),
            (
                3,
                "another-verifier-of-forty-three-characters-..",
                LoginError::InvalidGrant,
            ),
        ] {
            let mut fields = right;
            fields[index].1 = wrong;
            let refused = people().redeem(&form(&fields), "authorization_code", Timestamp::UNIX_EPOCH);
            assert_eq!(refused.unwrap_err().error, error, "{wrong}");
        }
        let late = Timestamp::from_second(61).unwrap();
        assert!(people().redeem(&form(&right), "authorization_code", late).is_err());

        let people = people();
        let family = people
            .redeem(&form(&right), "authorization_code", Timestamp::UNIX_EPOCH)
            .unwrap();
        people.note(family, TokenNumber(1), "refresh".to_owned());
        let again = people.redeem(&form(&right), "authorization_code", Timestamp::UNIX_EPOCH);
        assert_eq!(
            again.unwrap_err().ended,
            [TokenNumber(1)],
            "a code used twice was stolen"
        );
        let refresh = form(&[("client_id", CLIENT_ID), ("refresh_token", "refresh")]);
        assert!(people.redeem(&refresh, "refresh_token", Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn refresh_tokens_rotate_and_one_used_twice_ends_the_login() {
        let people = people();
        people.note(Family(1), TokenNumber(1), "first".to_owned());
        people.note(Family(2), TokenNumber(2), "of another".to_owned());
        let refresh = |token: &str| {
            let form = form(&[("client_id", CLIENT_ID), ("refresh_token", token)]);
            people.redeem(&form, "refresh_token", Timestamp::UNIX_EPOCH)
        };
        let family = refresh("first").unwrap();
        people.note(family, TokenNumber(3), "second".to_owned());
        let mut ended = refresh("first").unwrap_err().ended;
        ended.sort_by_key(|number| number.0);
        assert_eq!(ended, [TokenNumber(1), TokenNumber(3)]);
        assert!(refresh("second").is_err() && refresh("of another").is_ok() && refresh("unknown").is_err());
        assert_eq!(people.log_out(TokenNumber(2)), [TokenNumber(2)]);
        assert_eq!(people.log_out(TokenNumber(9)), []);
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (uri, registered) in [
            (CALLBACK, true),
            ("http://127.0.0.1:65535/callback", true),
            ("http://127.0.0.1/callback", false),
            ("http://127.0.0.1:1/callback?x=1", false),
            ("https://127.0.0.1:1/callback", false),
            ("http://127.0.0.1:1@evil.example/callback", false),
            ("http://evil.example:1/callback", false),
            ("/callback", false),
        ] {
            assert_eq!(is_registered(uri), registered, "{uri}");
        }
    }
}
