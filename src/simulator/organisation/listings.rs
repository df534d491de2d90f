//! Listings that give ids their names: queues, users, wrap-up codes, divisions, skills, languages, flows.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::directory::{Directory, Named, Queue, UserState};
use crate::simulator::refusal::Refusal;

/// A kind of entity that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `GET /api/v2/routing/queues`
    Queues,
    /// `GET /api/v2/users`: active ones, unless `state` says otherwise
    Users,
    /// `GET /api/v2/routing/wrapupcodes`
    WrapUpCodes,
    /// `GET /api/v2/authorization/divisions`
    Divisions,
    /// `GET /api/v2/routing/skills`
    Skills,
    /// `GET /api/v2/routing/languages`
    Languages,
    /// `GET /api/v2/flows`
    Flows,
}

/// The page of entities the parameters ask for, in the platform's envelope; `path` is what its links begin with.
pub(super) fn page(
    directory: &Directory,
    listing: Listing,
    params: &[(String, String)],
    path: &str,
) -> Result<Value, Refusal> {
    let size = positive(params, "pageSize", 25)?;
    let number = positive(params, "pageNumber", 1)?;
    let limit = listing.largest_page();
    if size > limit {
        let sentence = format!("The pageSize may not exceed {limit}.");
        return Err(Refusal::bad_request("general.bad.request", sentence));
    }
    let entities = chosen(listing.entities(directory), listing, params)?;
    let total = entities.len();
    let pages = total.div_ceil(size);
    let first = size.saturating_mul(number - 1).min(total);
    let shown = &entities[first..total.min(first + size)];
    let link = |number: usize| link(path, size, number, params);

    let mut envelope = Map::new();
    let mut set = |name: &str, value: Value| envelope.insert(name.to_owned(), value);
    set("entities", shown.into());
    set("pageSize", size.into());
    set("pageNumber", number.into());
    set("total", total.into());
    set("pageCount", pages.into());
    set("firstUri", link(1).into());
    set("selfUri", link(number).into());
    set("lastUri", link(pages.max(1)).into());
    if number < pages {
        set("nextUri", link(number + 1).into());
    }
    if number > 1 {
        set("previousUri", link(number - 1).into());
    }
    Ok(envelope.into())
}

fn positive(params: &[(String, String)], name: &str, default: usize) -> Result<usize, Refusal> {
    let Some((_, text)) = params.iter().find(|(param, _)| param == name) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        let sentence =
            format!("Value [{text}] is not valid for field type [int]. Allowable values are: positive numbers");
        Refusal::bad_request("invalid.value", sentence)
    })
}

/// A relative link to a page of the same listing, the other parameters kept.
fn link(path: &str, size: usize, number: usize, params: &[(String, String)]) -> String {
    let others = params
        .iter()
        .filter(|(name, _)| name != "pageSize" && name != "pageNumber");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("pageSize", &size.to_string())
        .append_pair("pageNumber", &number.to_string())
        .extend_pairs(others)
        .finish();
    format!("{path}?{query}")
}

/// The entities that `id` (repeatable), `name`, `state` and `divisionId` leave. Unknown ids are silently missing.
fn chosen(entities: Vec<Value>, listing: Listing, params: &[(String, String)]) -> Result<Vec<Value>, Refusal> {
    let all = |wanted: &'static str| {
        params
            .iter()
            .filter(move |(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    let among = |wanted: &'static str, value: &Value| {
        all(wanted).next().is_none() || all(wanted).any(|wanted| Some(wanted.as_str()) == value.as_str())
    };
    let name = all("name").next().map(|name| name.trim_matches('*').to_lowercase());
    let named = |entity: &Value| {
        let has = |name: &String| {
            entity["name"]
                .as_str()
                .is_some_and(|one| one.to_lowercase().contains(name.as_str()))
        };
        name.as_ref().is_none_or(has)
    };
    let state = all("state").next().map_or("active", String::as_str);
    if listing == Listing::Users && !["active", "inactive", "deleted", "any"].contains(&state) {
        let sentence = format!(
            "Value [{state}] is not valid for field type [state]. Allowable values are: active, inactive, deleted, any"
        );
        return Err(Refusal::bad_request("invalid.value", sentence));
    }
    let in_state = |entity: &Value| listing != Listing::Users || state == "any" || entity["state"] == state;
    let kept = |entity: &Value| {
        among("id", &entity["id"])
            && among("divisionId", &entity["division"]["id"])
            && named(entity)
            && in_state(entity)
    };
    Ok(entities.into_iter().filter(kept).collect())
}

impl Listing {
    fn largest_page(self) -> usize {
        match self {
            Self::Users | Self::Flows => 500,
            Self::Queues | Self::WrapUpCodes | Self::Divisions | Self::Skills | Self::Languages => 100,
        }
    }

    fn entities(self, directory: &Directory) -> Vec<Value> {
        match self {
            Self::Queues => directory.queues.iter().map(|one| queue(one, directory)).collect(),
            Self::Users => users(directory),
            Self::WrapUpCodes => wrap_up_codes(directory),
            Self::Divisions => divisions(directory),
            Self::Skills => plain(&directory.skills, "/api/v2/routing/skills"),
            Self::Languages => plain(&directory.languages, "/api/v2/routing/languages"),
            Self::Flows => flows(directory),
        }
    }
}

const CREATED: &str = "2023-02-01T09:00:00.000Z";
const MODIFIED: &str = "2024-06-03T14:30:00.000Z";

fn queue(queue: &Queue, directory: &Directory) -> Value {
    let members = queue.members.len();
    let settings: Map<_, _> = queue
        .media
        .iter()
        .map(|media| {
            let name = if media.word() == "voice" { "call" } else { media.word() };
            let goal = json!({ "percentage": queue.percentage, "durationMs": queue.goal_ms(*media) });
            (
                name.to_owned(),
                json!({ "alertingTimeoutSeconds": 20, "serviceLevel": goal }),
            )
        })
        .collect();
    json!({
        "id": queue.id,
        "name": queue.name,
        "division": division(directory, queue.division),
        "dateCreated": CREATED,
        "dateModified": MODIFIED,
        "memberCount": members,
        "userMemberCount": members,
        "joinedMemberCount": members,
        "mediaSettings": settings,
        "scoringMethod": "TimestampAndPriority",
        "acwSettings": { "wrapupPrompt": "OPTIONAL" },
        "skillEvaluationMethod": "ALL",
        "selfUri": self_uri("/api/v2/routing/queues", queue.id),
    })
}

fn users(directory: &Directory) -> Vec<Value> {
    let user = |user: &super::directory::User| {
        json!({
            "id": user.id,
            "name": user.name,
            "division": division(directory, user.division),
            "chat": { "jabberId": format!("{}@example.com", user.id.simple()) },
            "email": user.email,
            "primaryContactInfo": [{ "address": user.email, "mediaType": "EMAIL", "type": "PRIMARY" }],
            "addresses": [],
            "state": user.state.word(),
            "title": user.title,
            "username": user.email,
            "version": if user.state == UserState::Active { 12 } else { 19 },
            "acdAutoAnswer": false,
            "selfUri": self_uri("/api/v2/users", user.id),
        })
    };
    directory.users.iter().map(user).collect()
}

fn wrap_up_codes(directory: &Directory) -> Vec<Value> {
    let live = directory.wrap_up_codes.iter().filter(|code| !code.deleted);
    live.map(|code| {
        json!({
            "id": code.id,
            "name": code.name,
            "division": { "id": "*", "name": "*" },
            "dateCreated": CREATED,
            "dateModified": MODIFIED,
            "selfUri": self_uri("/api/v2/routing/wrapupcodes", code.id),
        })
    })
    .collect()
}

fn divisions(directory: &Directory) -> Vec<Value> {
    let division = |(index, one): (usize, &Named)| {
        json!({
            "id": one.id,
            "name": one.name,
            "description": format!("The {} division", one.name),
            "homeDivision": index == usize::from(super::directory::HOME),
            "selfUri": self_uri("/api/v2/authorization/divisions", one.id),
        })
    };
    directory.divisions.iter().enumerate().map(division).collect()
}

/// Skills and languages.
fn plain(named: &[Named], path: &str) -> Vec<Value> {
    let entity = |one: &Named| {
        json!({
            "id": one.id,
            "name": one.name,
            "dateModified": MODIFIED,
            "state": "active",
            "version": "1",
            "selfUri": self_uri(path, one.id),
        })
    };
    named.iter().map(entity).collect()
}

fn flows(directory: &Directory) -> Vec<Value> {
    let flow = |flow: &super::directory::Flow| {
        json!({
            "id": flow.id,
            "name": flow.name,
            "division": division(directory, super::directory::HOME),
            "type": flow.kind,
            "active": true,
            "system": false,
            "deleted": false,
            "selfUri": self_uri("/api/v2/flows", flow.id),
        })
    };
    directory.flows.iter().map(flow).collect()
}

fn division(directory: &Directory, index: u8) -> Value {
    let division = &directory.divisions[usize::from(index)];
    json!({
        "id": division.id,
        "name": division.name,
        "selfUri": self_uri("/api/v2/authorization/divisions", division.id),
    })
}

fn self_uri(path: &str, id: Uuid) -> String {
    format!("{path}/{id}")
}
