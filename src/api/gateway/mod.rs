//! The upstream's own paths: a program that speaks to Genesys Cloud speaks to this service with one setting changed.
//!
//! What `paths` lists is answered and nothing else. Figures and listings of conversations that the query model can express
//! exactly are answered through it (`figures`, `details`), and so share what is held with everybody; every other question
//! is passed on in its own words, once for all who ask it at the same time, and held for as long as what it is about
//! allows. Nothing of a caller's request reaches the upstream but the values of the path's parameters, the parameters of
//! the query string that are listed, and the JSON of the body; nothing of the upstream's answer comes back but its JSON.

mod confined;
mod details;
pub(in crate::api) mod document;
mod figures;
mod interval;
mod jobs;
mod paths;
pub(in crate::api) mod refusals;
pub mod token;

use std::{borrow::Cow, time::Duration};

use axum::{
    Router,
    extract::{FromRequestParts, RawPathParams, State},
    http::{HeaderMap, Method, StatusCode, request::Parts},
    response::Response,
    routing::{MethodFilter, on},
};
use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use self::{
    jobs::JobStand,
    paths::{Kind, PATHS, Path},
};
use super::{
    auth::Caller,
    conditional::{self, Representation},
    params::{JsonBody, QueryString, freshness_of},
    problem::{Problem, ProblemKind},
};
use crate::{
    clock::Clock,
    config::Scope,
    query::{About, ConversationQuery, FiguresQuery, Filter, Listing, PassedQuestion, Permitted, Sight},
    report::{AtHand, Conversations, Freshness, Passed, ReportError, Reports, ToldBefore},
    table::CacheUse,
    upstream::{Errand, UpstreamError},
};

/// How all of the upstream's own paths begin.
pub(in crate::api) const PREFIX: &str = "/api/v2/";

/// Where tokens are given; on the upstream's login host, and here.
pub(in crate::api) const TOKEN: &str = "/oauth/token";

/// What the routes need.
#[derive(Clone)]
pub struct GatewayApi {
    /// Asks, and holds answers.
    pub reports: Reports,
    /// Tells how old an answer is.
    pub clock: Clock,
}

/// A route for every path there is.
pub(super) fn routes() -> Router<GatewayApi> {
    PATHS.iter().fold(Router::new(), |router, path| {
        let route = if path.method == Method::DELETE {
            on(MethodFilter::DELETE, move |request: Asked| async move { dismissed(path, &request) })
        } else if path.method == Method::GET {
            on(
                MethodFilter::GET,
                move |State(api): State<GatewayApi>, request: Asked| async move { api.answer(path, request, None).await },
            )
        } else {
            on(
                MethodFilter::POST,
                move |State(api): State<GatewayApi>, request: Asked, JsonBody(body): JsonBody| async move {
                    api.answer(path, request, Some(body)).await
                },
            )
        };
        router.route(path.template, route)
    })
}

/// A request but for its body.
struct Asked {
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
    values: RawPathParams,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self {
            caller: Caller::from_request_parts(parts, state).await?,
            errand: Errand::from_request_parts(parts, state).await?,
            query_string: QueryString::from_request_parts(parts, state).await?,
            // A value that is no text is no id.
            values: RawPathParams::from_request_parts(parts, state)
                .await
                .map_err(|_| Problem::new(ProblemKind::NotFound))?,
            method: parts.method.clone(),
            headers: parts.headers.clone(),
        })
    }
}

impl GatewayApi {
    async fn answer(&self, path: &'static Path, request: Asked, body: Option<Value>) -> Result<Response, Problem> {
        request.caller.require(Scope::Read)?;
        let (freshness, errand) = (freshness_of(&request.headers), &request.errand);
        let worded = Worded::read(path, &request, body)?;
        let (sight, _calls) = self
            .reports
            .sight(request.caller.restriction(), freshness, errand)
            .await?;
        let mut answer = if let Some(answer) = self.figures(&worded, &sight, freshness, errand).await? {
            answer
        } else if let Some(answer) = self.conversations(&worded, &sight, freshness, errand).await? {
            answer
        } else {
            let question = sight.confine(worded)?;
            if path.kind == Kind::Job {
                self.job(&question, shared(path, freshness), errand).await?
            } else {
                self.reports.passed(&question, freshness, errand).await?
            }
        };
        if let Some(seen) = sight.seen() {
            answer.body = confined::answer(path, answer.body, seen)?;
        }
        let is_accepted = match path.kind {
            Kind::Job => true,
            Kind::JobState => JobStand::of(&answer.body) == JobStand::AtWork,
            _ => false,
        };
        let representation = Representation {
            content_type: "application/json",
            tag: &conditional::entity_tag(&answer.body, &answer.provenance),
            answer: answer.body,
            compressed: false,
            rest: Bytes::new(),
            provenance: &answer.provenance,
            fresh_for: answer.fresh_for,
        };
        let now = self.clock.now();
        let mut response = conditional::answer(&request.method, &request.headers, representation, now);
        if is_accepted && response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        Ok(response)
    }

    /// A job. Whoever asked the same within the hour has had it begun; unless it came to nothing, it is everybody's.
    async fn job(
        &self,
        question: &Permitted<PassedQuestion>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Passed, Problem> {
        let template = question.template;
        let job = self.reports.passed(question, freshness, errand).await?;
        let is_new = matches!(job.provenance.cache, CacheUse::Miss | CacheUse::Collapsed);
        let Some(state) = (!is_new).then(|| jobs::state_of(template, &job.body)).flatten() else {
            return Ok(job);
        };
        let state = question.sight().confine(state)?;
        let stand = match self.reports.passed(&state, freshness, errand).await {
            Ok(state) => JobStand::of(&state.body),
            Err(ReportError::Upstream(UpstreamError::Rejected { .. })) => JobStand::Over,
            Err(error) => return Err(error.into()),
        };
        if stand != JobStand::Over {
            return Ok(job);
        }
        let anew = Freshness {
            max_age: Some(Duration::ZERO),
            ..freshness
        };
        Ok(self.reports.passed(question, anew, errand).await?)
    }

    /// The answer by the query model; `None` if the question has to be passed on, which is nothing for who does not see
    /// everything.
    async fn figures(
        &self,
        worded: &Worded,
        sight: &Sight,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Option<Passed>, Problem> {
        let Kind::Figures(source) = worded.path.kind else {
            return Ok(None);
        };
        let Some(aggregate) = worded.body.as_ref().and_then(|body| figures::question(source, body)) else {
            return Ok(None);
        };
        let only = Filter::default();
        let query = sight.confine(FiguresQuery { aggregate, only })?;
        match self.reports.figures_of(&query, freshness, errand).await {
            Ok(unfolded) => Ok(Some(Passed {
                body: figures::document(&query.aggregate, &unfolded.rows),
                provenance: unfolded.provenance,
                fresh_for: unfolded.fresh_for,
            })),
            // By buckets it would take more requests than the one the caller means.
            Err(ReportError::TooManyCalls { .. }) if sight.seen().is_none() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of conversations from the days they started on; `None` if the question has to be passed on.
    ///
    /// Held days that are fresh give any page. Where they are not, whoever reads a first page alone shall not pay for days:
    /// it is passed on, one request. Whoever turns the page is likely to read on, so the days are fetched, unless the first
    /// page told of very many conversations. If the first page cannot be had, held days may stand in for it.
    async fn conversations(
        &self,
        worded: &Worded,
        sight: &Sight,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Option<Passed>, Problem> {
        if worded.path.kind != Kind::Details {
            return Ok(None);
        }
        // Narrowed first: what is listed is what would have been passed on.
        let narrowed = sight.confine(worded.clone())?;
        let asked = narrowed.body.as_deref();
        let asked = asked.and_then(|body| serde_json::from_slice::<Value>(body).ok());
        let Some(asked) = asked.and_then(|body| details::question(&body)) else {
            return Ok(None);
        };
        let asked = sight.confine(asked)?;
        let first = sight.confine(worded.clone().first_page())?;
        let is_first = asked.1.page.number == 1;
        let held_first = self.reports.passed_at_hand(&first, freshness).await;
        if is_first && held_first.is_some() {
            // Others may have read on from it.
            return Ok(held_first);
        }
        let told = held_first.as_ref().and_then(|first| details::told(&first.body));
        let told = told.and_then(|told| told.before());
        if let Some(found) = self.at_hand(&asked, told, freshness, AtHand::Fresh).await? {
            return Ok(Some(found));
        }
        if !is_first && freshness.max_age.is_some() {
            // The days would be fetched anew for every page.
            return Ok(None);
        }
        let first = match self.reports.passed(&first, freshness, errand).await {
            Ok(first) => first,
            Err(failure) => {
                let held = self.at_hand(&asked, None, freshness, AtHand::StandingIn).await?;
                return held.map_or_else(|| Err(failure.into()), |held| Ok(Some(held)));
            }
        };
        if is_first {
            return Ok(Some(first));
        }
        let Some(told) = details::told(&first.body).filter(details::Told::is_worth_the_days) else {
            return Ok(None);
        };
        let found = self
            .reports
            .conversations_after(&asked, told.before(), freshness, errand);
        match found.await {
            Ok(found) => Ok(Some(page_of(found))),
            // Page by page it is not.
            Err(ReportError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of what is held; `None` if not all of it is, or it is too much at once.
    async fn at_hand(
        &self,
        asked: &Permitted<(ConversationQuery, Listing)>,
        told: Option<ToldBefore>,
        freshness: Freshness,
        at_hand: AtHand,
    ) -> Result<Option<Passed>, Problem> {
        let found = self.reports.conversations_at_hand(asked, told, freshness, at_hand);
        match found.await {
            Ok(found) => Ok(found.map(page_of)),
            Err(ReportError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn page_of(found: Conversations) -> Passed {
    Passed {
        body: details::document(&found),
        provenance: found.provenance,
        fresh_for: found.fresh_for,
    }
}

/// For how long one job serves all who ask the same. Details are read from a copy that is loaded once a night, aggregates
/// are of the moment the job was begun.
fn shared(path: &Path, freshness: Freshness) -> Freshness {
    const OF_AGGREGATES: Duration = Duration::from_mins(1);
    if path.template.contains("/details/") {
        return freshness;
    }
    Freshness {
        max_age: Some(freshness.max_age.unwrap_or(OF_AGGREGATES).min(OF_AGGREGATES)),
        ..freshness
    }
}

/// A job that is needed no more may be others', so it is left to the upstream, which forgets it after some days.
fn dismissed(path: &Path, request: &Asked) -> Result<StatusCode, Problem> {
    request.caller.require(Scope::Read)?;
    query(path, &request.query_string.pairs)?;
    target(path, request.values.iter()).map(|_| StatusCode::NO_CONTENT)
}

/// What may be passed on of a request, before it is narrowed to what its caller may see.
#[derive(Clone)]
struct Worded {
    path: &'static Path,
    /// Of the path's parameters, each of which [fits].
    values: Vec<(String, String)>,
    /// Of the query string, each of which the path takes.
    pairs: Vec<(String, String)>,
    /// An object.
    body: Option<Value>,
}

impl Worded {
    fn read(path: &'static Path, request: &Asked, body: Option<Value>) -> Result<Self, Problem> {
        if body.as_ref().is_some_and(|body| !body.is_object()) {
            return Err(Problem::new(ProblemKind::Malformed).detail("the body must be a JSON object"));
        }
        target(path, request.values.iter())?;
        query(path, &request.query_string.pairs)?;
        let values = request.values.iter();
        Ok(Self {
            path,
            values: values
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            pairs: request.query_string.pairs.clone(),
            body,
        })
    }

    /// The same of its first page, where the page stands in the body.
    fn first_page(mut self) -> Self {
        if let Some(number) = self
            .body
            .as_mut()
            .and_then(|body| body.pointer_mut("/paging/pageNumber"))
        {
            *number = 1.into();
        }
        self
    }

    fn question(self) -> PassedQuestion {
        const CHECKED: &str = "values and parameters have been looked at";
        let Self {
            path,
            values,
            pairs,
            body,
        } = self;
        let values = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut target = target(path, values).expect(CHECKED);
        let query = query(path, &pairs).expect(CHECKED);
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let interval = || body.as_ref().and_then(|body| interval::of(body.get("interval")?));
        let about = match path.kind {
            Kind::Now => Some(About::Now),
            Kind::Job | Kind::JobResults => Some(About::Job),
            Kind::JobState => Some(About::JobState),
            Kind::Names => Some(About::Names),
            Kind::Figures(source) => interval().map(|range| About::Figures(source, range)),
            Kind::Records => interval().map(About::Happened),
            Kind::Details => interval().map(|range| About::Conversations(interval::whole_days(range))),
        };
        PassedQuestion {
            template: path.template,
            method: path.method.clone(),
            target,
            // What the upstream makes of an interval that is none here is not to be held for long.
            about: about.unwrap_or(About::Now),
            // Keys come out in order, blanks not at all.
            body: body.map(|body| Bytes::from(body.to_string())),
        }
    }
}

/// The path with its parameters' values in place.
fn target<'r>(path: &Path, values: impl Iterator<Item = (&'r str, &'r str)>) -> Result<String, Problem> {
    let mut target = Cow::Borrowed(path.template);
    for (name, value) in values {
        if !fits(name, value) {
            return Err(Problem::new(ProblemKind::NotFound));
        }
        target = target.replace(&format!("{{{name}}}"), value).into();
    }
    Ok(target.into_owned())
}

/// Whether the value is what the parameter is called, so that it can neither end its segment of the path nor climb out of
/// it, nor be a word that means something else there (`me`). Wrap-up codes have ids that are words, too.
fn fits(name: &str, value: &str) -> bool {
    const HYPHENATED: usize = 36;
    if name.ends_with("Id") && name != "codeId" {
        return value.len() == HYPHENATED && Uuid::try_parse(value).is_ok();
    }
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    (1..=100).contains(&value.len()) && value.chars().all(is_plain) && !value.starts_with('.')
}

/// The query string, anew: by name, those of a name in their order.
fn query(path: &Path, pairs: &[(String, String)]) -> Result<String, Problem> {
    let unknown = pairs.iter().find(|(name, _)| !path.parameters.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        let name: String = name.chars().take(64).collect();
        return Err(Problem::new(ProblemKind::Malformed).detail(format!("there is no parameter `{name}` here")));
    }
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by_key(|(name, _)| name);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    Ok(query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str) -> &'static Path {
        PATHS.iter().find(|path| path.template == template).unwrap()
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        let (queue, code) = ("7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11", "ININ-WRAP-UP-TIMEOUT");
        for (template, name, value, reached) in [
            ("/api/v2/routing/queues/{queueId}", "queueId", queue, true),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", queue, true),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", code, true),
            ("/api/v2/users/{userId}", "userId", "me", false),
            (
                "/api/v2/users/{userId}",
                "userId",
                "7a0c5a3e0a5c4e0d9d3f2f8f2f6f1c11",
                false,
            ),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", ".", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "..", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "a/b", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "a%2Fb", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "a?b", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "a#b", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "a b", false),
            ("/api/v2/routing/wrapupcodes/{codeId}", "codeId", "ä", false),
            (
                "/api/v2/routing/wrapupcodes/{codeId}",
                "codeId",
                &"x".repeat(101),
                false,
            ),
        ] {
            let target = target(path(template), [(name, value)].into_iter()).ok();
            let expected = reached.then(|| template.replace(&format!("{{{name}}}"), value));
            assert_eq!(target, expected, "{value}");
        }
    }

    #[test]
    fn only_listed_parameters_go_on_and_the_same_ones_are_the_same_question() {
        let queues = path("/api/v2/routing/queues");
        let query = |text: &str| {
            let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            query(queues, &pairs).ok()
        };
        assert_eq!(query("").as_deref(), Some(""));
        assert_eq!(
            query("pageSize=1&name=a%26b&pageNumber=2"),
            query("pageNumber=2&pageSize=1&name=a%26b")
        );
        assert_eq!(
            query("id=b&id=a&name=a%26b%23").as_deref(),
            Some("id=b&id=a&name=a%26b%23")
        );
        assert_eq!(query("access_token=x"), None);
    }
}
