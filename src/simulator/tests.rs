//! The simulator as a plain client on the loopback sees it, on paused time.

use std::{io, time::Duration};

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::Instant,
};

use super::{
    Grants, Options, Simulator,
    faults::{Effect, ErrorBody, Fault, Garbage, StatusAnswer},
};
use crate::clock::Clock;

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";
const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const LIMITS: &str = "/api/v2/organizations/limits/namespaces/platform.api";

macro_rules! sample {
    ($path:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("genesys/samples/", $path))).unwrap()
    };
}

mod login {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_a_token_that_works_until_it_expires() {
        let running = running(options()).await;
        let answer = running.log_in().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-cache, no-store, must-revalidate");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(
            (&body["token_type"], &body["expires_in"]),
            (&json!("bearer"), &json!(86_399))
        );
        let token = body["access_token"].as_str().unwrap();

        let date = async || running.get("/api/v2/date").bearer_auth(token).send().await.unwrap();
        assert_eq!(
            date().await.json::<Value>().await.unwrap(),
            json!({ "currentDate": "2024-03-01T10:00:18.000Z" })
        );
        tokio::time::sleep(Duration::from_secs(86_399)).await;
        assert_eq!(date().await.status(), 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(error_code(date().await).await, (401, "bad.credentials".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_in_the_oauth_shape() {
        let running = running(options()).await;
        let form = [("grant_type", "client_credentials")];
        let post = || running.client.post(format!("{}/oauth/token", running.url));
        let cases = [
            (post().form(&form), 401, "invalid_client"),
            (
                post().basic_auth("stranger", Some("simulated-secret")).form(&form),
                401,
                "invalid_client",
            ),
            (
                post().basic_auth("simulated-client", Some("wrong")).form(&form),
                401,
                "invalid_client",
            ),
            (
                post()
                    .basic_auth("simulated-client", Some("simulated-secret"))
                    .form(&[("grant_type", "password")]),
                400,
                "unsupported_grant_type",
            ),
            (
                post()
                    .basic_auth("simulated-client", Some("simulated-secret"))
                    .json(&json!({ "grant_type": "x" })),
                400,
                "invalid_request",
            ),
        ];
        for (request, status, error) in cases {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status);
            assert!(answer.headers().contains_key("inin-correlation-id"));
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"], error);
            assert_eq!(body["description"], body["error_description"]);
        }
        let stranger = post()
            .basic_auth("stranger", Some("x"))
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(
            stranger.json::<Value>().await.unwrap(),
            sample!("oauth/token-error-invalid_client.json")
        );

        let in_query = running
            .client
            .post(format!("{}/oauth/token?grant_type=client_credentials", running.url));
        let in_query = in_query.basic_auth("simulated-client", Some("simulated-secret"));
        assert_eq!(in_query.send().await.unwrap().status(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_tokens_by_revocation_and_by_number() {
        let running = running(options()).await;
        let works = async |token: &str| {
            let answer = running
                .client
                .head(format!("{}/api/v2/tokens/me", running.url))
                .bearer_auth(token);
            answer.send().await.unwrap().status() == StatusCode::OK
        };
        let first = running.token().await;
        assert!(works(&first).await);
        running.simulator.revoke_tokens();
        assert!(!works(&first).await);

        let second = running.token().await;
        let me = running
            .get("/api/v2/tokens/me")
            .bearer_auth(&second)
            .send()
            .await
            .unwrap();
        assert_eq!(
            me.json::<Value>().await.unwrap()["OAuthClient"]["id"],
            "simulated-client"
        );
        let log_out = running
            .client
            .delete(format!("{}/api/v2/tokens/me", running.url))
            .bearer_auth(&second);
        assert_eq!(log_out.send().await.unwrap().status(), 200);
        assert!(!works(&second).await);

        let oldest = running.token().await;
        for _ in 0..9 {
            running.token().await;
        }
        assert!(works(&oldest).await);
        running.token().await;
        assert!(!works(&oldest).await);
    }

    #[tokio::test(start_paused = true)]
    async fn takes_a_changed_secret() {
        let running = running(options()).await;
        running.simulator.set_secret("rotated");
        assert_eq!(running.log_in().await.status(), 401);
        running.simulator.set_secret("simulated-secret");
        assert_eq!(running.log_in().await.status(), 200);
    }
}

mod refusals {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn read_like_the_observed_ones() {
        let running = running(Options {
            rate_limit: 8,
            ..options()
        })
        .await;
        let token = running.token().await;
        running
            .simulator
            .set_permissions(Grants::only(["analytics:agentConversationDetail:view"]));
        let get = |path: &str| running.get(path).bearer_auth(&token);
        let post = |body: Value| running.post(AGGREGATES, &body).bearer_auth(&token);
        let cases = [
            (
                running.get("/api/v2/date"),
                sample!("errors/401-authentication.required.json"),
            ),
            (
                running.get("/api/v2/date").bearer_auth("wrong"),
                sample!("errors/401-bad.credentials.json"),
            ),
            (
                get("/api/v2/routing/queues"),
                error(
                    403,
                    "missing.any.permissions",
                    "Unable to perform the requested action. You must have at least \
                     one of the following permissions assigned: [routing:queue:view]",
                ),
            ),
            (
                get("/api/v2/routing/wrapupcodes"),
                error(
                    403,
                    "missing.permissions",
                    "Unable to perform the requested action. You are missing the \
                     following permission(s): [routing:wrapupCode:view]",
                ),
            ),
            (
                get("/api/v2/nowhere"),
                error(404, "not.found", "The requested resource was not found."),
            ),
            (
                get("/api/v2/organizations/limits/namespaces/nowhere"),
                error(404, "not.found", "The requested resource was not found."),
            ),
        ];
        for (request, expected) in cases {
            let answer = request.send().await.unwrap();
            let correlation_id = answer.headers()["inin-correlation-id"].to_str().unwrap().to_owned();
            let mut body: Value = answer.json().await.unwrap();
            assert_is_a("ErrorBody", &body);
            assert_eq!(body["contextId"], correlation_id);
            body["contextId"] = expected["contextId"].clone();
            assert_eq!(body, expected);
        }

        running
            .simulator
            .set_permissions(Grants::all().without("analytics:agentConversationDetail:view"));
        let unlabelled = || {
            running
                .client
                .post(format!("{}{AGGREGATES}", running.url))
                .bearer_auth(&token)
        };
        let cases = [
            (post(json!({ "interval": "x", "metrics": ["x"] })), 400, "invalid.value"),
            (post(json!({ "interval": "x", "x": 1 })), 400, "bad.request"),
            (post(Value::Null).body("{"), 400, "bad.request"),
            (unlabelled().body("{}"), 415, "unsupported.media.type"),
            (unlabelled().body("x".repeat(512_001)), 413, "request.entity.too.large"),
        ];
        for (request, status, code) in cases {
            assert_eq!(
                error_code(request.send().await.unwrap()).await,
                (status, code.to_owned())
            );
        }
        assert_eq!(error_code(post(Value::Null).send().await.unwrap()).await.0, 429);
    }

    #[tokio::test(start_paused = true)]
    async fn name_both_permissions_of_a_details_query() {
        let running = running(Options {
            permissions: Grants::only([]),
            ..options()
        })
        .await;
        let token = running.token().await;
        let query = running
            .post(DETAILS, &sample!("conversation-details/request-acd-voice.json"))
            .bearer_auth(&token);
        let body: Value = query.try_clone().unwrap().send().await.unwrap().json().await.unwrap();
        let message = body["message"].as_str().unwrap();
        assert!(message.ends_with("[analytics:conversationDetail:view, analytics:agentConversationDetail:view]"));
        running
            .simulator
            .set_permissions(Grants::only(["analytics:agentConversationDetail:view"]));
        assert_eq!(query.send().await.unwrap().status(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn keep_a_token_within_its_minute() {
        let running = running(Options {
            rate_limit: 3,
            ..options()
        })
        .await;
        let (token, other) = (running.token().await, running.token().await);
        let date = async |token: &str| running.get("/api/v2/date").bearer_auth(token).send().await.unwrap();
        for _ in 0..3 {
            assert_eq!(date(&token).await.status(), 200);
        }
        let refused = date(&token).await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"42".parse().unwrap())
        );
        let body: Value = refused.json().await.unwrap();
        let observed = sample!("errors/429-too.many.requests.retry.after.json");
        assert_eq!(
            (&body["message"], &body["code"]),
            (&observed["message"], &observed["code"])
        );
        let limit =
            json!({ "key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": 3 });
        assert_eq!(body["limit"], limit);
        assert_is_a("ErrorBody", &body);
        assert_eq!(date(&other).await.status(), 200);

        tokio::time::sleep(Duration::from_millis(41_999)).await;
        let refused = date(&token).await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(date(&token).await.status(), 200);
        assert_eq!(running.simulator.journal().count_status(429), 2);
        assert_eq!(
            running
                .simulator
                .journal()
                .requests_in_any_window(Duration::from_mins(1)),
            7
        );
    }

    #[tokio::test(start_paused = true)]
    async fn meet_the_plausible_requests_only() {
        let running = running(options()).await;
        let token = running.token().await;
        let cases = [
            (
                DETAILS,
                sample!("conversation-details/request-abandoned-in-queue.json"),
                200,
            ),
            (DETAILS, sample!("conversation-details/request-acd-voice.json"), 200),
            (
                AGGREGATES,
                sample!("conversation-aggregates/request-queue-voice-service-level.json"),
                200,
            ),
            (
                AGGREGATES,
                sample!("conversation-aggregates/request-agent-scorecard.json"),
                200,
            ),
            (
                "/api/v2/analytics/users/aggregates/query",
                sample!("composed/user-aggregates-request-pt30m.json"),
                200,
            ),
            (
                "/api/v2/analytics/users/aggregates/query",
                sample!("invalid-requests/user-aggregates-conversation-metrics.json"),
                400,
            ),
            (
                "/api/v2/analytics/queues/observations/query",
                sample!("queue-observations/request.json"),
                200,
            ),
            (
                "/api/v2/analytics/users/observations/query",
                sample!("user-observations/request.json"),
                200,
            ),
            (
                "/api/v2/analytics/users/observations/query",
                json!({
                    "filter": {"type": "or", "predicates": [{"dimension": "queueId", "value": "q"}]},
                    "metrics": ["oMemberQueues"],
                }),
                400,
            ),
            (
                "/api/v2/analytics/flows/aggregates/query",
                sample!("flow-aggregates/request.json"),
                200,
            ),
            (
                "/api/v2/analytics/evaluations/aggregates/query",
                json!({ "interval": "2025-12-01T00:00:00Z/2025-12-02T00:00:00Z", "metrics": ["oTotalScore"] }),
                200,
            ),
            (
                "/api/v2/analytics/surveys/aggregates/query",
                json!({
                    "interval": "2025-12-01T00:00:00Z/2025-12-02T00:00:00Z", "metrics": ["nSurveysSent"],
                    "alternateTimeDimension": "conversationStart",
                }),
                400,
            ),
            (
                DETAILS,
                sample!("invalid-requests/details-wrong-filter-dimension.json"),
                400,
            ),
            (DETAILS, sample!("invalid-requests/user-details-orderBy.json"), 400),
            (
                AGGREGATES,
                sample!("invalid-requests/user-aggregates-conversation-metrics.json"),
                200,
            ),
        ];
        for (path, body, status) in cases {
            let answer = running.post(path, &body).bearer_auth(&token).send().await.unwrap();
            assert_eq!(answer.status(), status, "{body}");
        }
    }
}

mod answers {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fit_the_published_models() {
        let running = running(options()).await;
        let token = running.token().await;
        let cases = [
            ("/api/v2/date", "ServerDate"),
            ("/api/v2/tokens/me", "TokenInfo"),
            (LIMITS, "LimitsEntityListing"),
            ("/api/v2/routing/queues", "QueueEntityListing"),
            ("/api/v2/users", "UserEntityListing"),
            ("/api/v2/routing/wrapupcodes", "WrapupCodeEntityListing"),
            ("/api/v2/authorization/divisions", "AuthzDivisionEntityListing"),
            ("/api/v2/routing/skills", "SkillEntityListing"),
            ("/api/v2/routing/languages", "LanguageEntityListing"),
            ("/api/v2/flows", "FlowEntityListing"),
        ];
        for (path, model) in cases {
            let answer = running.get(path).bearer_auth(&token).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_is_a(model, &answer.json().await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn are_compressed_when_asked() {
        let running = running(options()).await;
        let token = running.token().await;
        let plain = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
        let get = plain.get(format!("{}{LIMITS}", running.url)).bearer_auth(&token);
        let bare = get.try_clone().unwrap().send().await.unwrap();
        assert!(!bare.headers().contains_key("content-encoding"));
        let compressed = get.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(compressed.headers()["content-encoding"], "gzip");
        assert_eq!(compressed.headers()["vary"], "accept-encoding");
        assert_eq!(compressed.bytes().await.unwrap()[..2], [0x1f, 0x8b]);

        let unpacked = running.get(LIMITS).bearer_auth(&token).send().await.unwrap();
        assert_eq!(
            unpacked.json::<Value>().await.unwrap(),
            bare.json::<Value>().await.unwrap()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn are_the_same_for_the_same_seed() {
        let ids = async |seed| {
            let running = running(Options { seed, ..options() }).await;
            let answer = running.log_in().await;
            let id = answer.headers()["inin-correlation-id"].clone();
            (id, answer.json::<Value>().await.unwrap())
        };
        assert_eq!(ids(1).await, ids(1).await);
        assert_ne!(ids(1).await, ids(2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn take_the_latency_they_are_told() {
        let running = running(Options {
            latency: Duration::from_millis(150),
            ..options()
        })
        .await;
        let token = running.token().await;
        let took = async || {
            let begun = Instant::now();
            running.get("/api/v2/date").bearer_auth(&token).send().await.unwrap();
            begun.elapsed()
        };
        assert_eq!(took().await, Duration::from_millis(150));
        running.simulator.set_latency(Duration::ZERO);
        assert_eq!(took().await, Duration::ZERO);
    }
}

mod faults {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answer_with_another_status() {
        let html = StatusAnswer {
            status: 502,
            body: ErrorBody::Html,
            ..StatusAnswer::default()
        };
        let empty = StatusAnswer {
            status: 504,
            body: ErrorBody::Empty,
            ..StatusAnswer::default()
        };
        let coded = StatusAnswer {
            status: 400,
            code: Some("odd.code".to_owned()),
            ..StatusAnswer::default()
        };
        let date = "Fri, 01 Mar 2024 10:01:00 GMT";
        let cases = [
            (Effect::status(503), 503, Some("service.unavailable"), None),
            (
                Effect::status_retry_after(503, date),
                503,
                Some("service.unavailable"),
                Some(date),
            ),
            (
                Effect::status(429),
                429,
                Some("too.many.requests.retry.after"),
                Some("60"),
            ),
            (
                Effect::status_retry_after(429, ""),
                429,
                Some("too.many.requests.retry.after"),
                None,
            ),
            (
                Effect::status_retry_after(429, "soon"),
                429,
                Some("too.many.requests.retry.after"),
                Some("soon"),
            ),
            (Effect::Status(coded), 400, Some("odd.code"), None),
            (Effect::Status(html), 502, None, None),
            (Effect::Status(empty), 504, None, None),
        ];
        let running = running(options()).await;
        for (effect, status, code, retry_after) in cases {
            running.simulator.push_fault(Fault::new(effect.clone()).once());
            let answer = running.get("/api/v2/date").send().await.unwrap();
            assert_eq!(answer.status(), status, "{effect:?}");
            let header = answer.headers().get("retry-after").map(|value| value.to_str().unwrap());
            assert_eq!(header, retry_after, "{effect:?}");
            let body = answer.text().await.unwrap();
            let json = serde_json::from_str::<Value>(&body).ok();
            assert_eq!(json.as_ref().and_then(|body| body["code"].as_str()), code, "{body}");
        }
        assert!(running.simulator.unused_faults().is_empty());
        let entries = running.simulator.journal().entries();
        assert!(entries.iter().all(|entry| entry.fault.as_deref() == Some("status")));
        assert_eq!(entries[0].status, Some(503));
    }

    #[tokio::test(start_paused = true)]
    async fn cut_a_body_short() {
        let running = running(options()).await;
        let request = running.raw_request(LIMITS).await;
        let cut = |after_bytes, chunked| Fault::new(Effect::Cut { after_bytes, chunked }).on_path(LIMITS).once();

        running.simulator.push_fault(cut(10, false));
        let (answer, ended) = raw_exchange(&running, &request).await;
        ended.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(content_length(head) > 10, "{head}");
        assert_eq!(body, "{\"entities");

        running.simulator.push_fault(cut(10, true));
        let (answer, ended) = raw_exchange(&running, &request).await;
        ended.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(body, "A\r\n{\"entities\r\n");

        running.simulator.push_fault(cut(1_000_000, false));
        let (answer, _) = raw_exchange(&running, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(content_length(head), 1_000_001);
        assert!(serde_json::from_str::<Value>(body).is_ok());

        for chunked in [false, true] {
            running.simulator.push_fault(cut(10, chunked));
            let answer = running
                .get(LIMITS)
                .bearer_auth(running.token().await)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.bytes().await.is_err());
        }
        assert!(running.simulator.unused_faults().is_empty());
        assert_eq!(running.simulator.journal().under_way(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn reset_the_connection() {
        let running = running(options()).await;
        let request = running.raw_request(LIMITS).await;
        let reset = |after_bytes| Fault::new(Effect::Reset { after_bytes }).on_path(LIMITS).once();

        running.simulator.push_fault(reset(None));
        let (answer, ended) = raw_exchange(&running, &request).await;
        assert_eq!(
            (answer.as_str(), ended.unwrap_err().kind()),
            ("", io::ErrorKind::ConnectionReset)
        );

        running.simulator.push_fault(reset(Some(5)));
        let (answer, ended) = raw_exchange(&running, &request).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(answer.is_empty() || answer.ends_with("\r\n\r\n{\"ent"), "{answer}");

        running.simulator.push_fault(reset(None).times(2));
        let failed = running.get(LIMITS).send().await.unwrap_err();
        assert!(failed.is_request(), "{failed:?}");
        let last = running.simulator.journal().entries().pop().unwrap();
        assert_eq!((last.fault.as_deref(), last.duration.is_some()), (Some("reset"), true));
    }

    #[tokio::test(start_paused = true)]
    async fn answer_with_garbage() {
        let cases = [
            (Garbage::Html, true, "text/html"),
            (Garbage::BrokenJson, true, "application/json"),
            (Garbage::WrongJson, true, "application/json"),
            (Garbage::Empty, true, "application/json"),
            (Garbage::TruncatedGzip, false, "application/json"),
        ];
        let running = running(options()).await;
        for (kind, readable, content_type) in cases {
            running
                .simulator
                .push_fault(Fault::new(Effect::Garbage { kind }).once());
            let answer = running.get("/api/v2/date").send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], content_type);
            let body = answer.text().await;
            assert_eq!(body.is_ok(), readable, "{kind:?}");
            let json = serde_json::from_str::<Value>(&body.unwrap_or_default());
            assert_eq!(json.is_ok(), kind == Garbage::WrongJson, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_an_answer_down() {
        let running = running(options()).await;
        let token = running.token().await;
        let get = async || {
            let begun = Instant::now();
            let answer = running
                .get(LIMITS)
                .bearer_auth(&token)
                .header("accept-encoding", "identity")
                .send()
                .await;
            let body = answer.unwrap().bytes().await.unwrap();
            (begun.elapsed(), body.len())
        };
        let (took, length) = get().await;
        assert_eq!(took, Duration::ZERO);
        for bytes_per_second in [1, 50] {
            running
                .simulator
                .push_fault(Fault::new(Effect::Trickle { bytes_per_second }).once());
            let (took, trickled) = get().await;
            let expected = length as f64 / f64::from(bytes_per_second);
            assert_eq!(trickled, length);
            assert!(
                (took.as_secs_f64() - expected).abs() < expected / 10.0,
                "{took:?} instead of {expected} s"
            );
        }
        running
            .simulator
            .push_fault(Fault::new(Effect::Delay { ms: 2_500 }).once());
        assert_eq!(get().await, (Duration::from_millis(2_500), length));
    }

    #[tokio::test(start_paused = true)]
    async fn never_answer() {
        let running = running(options()).await;
        running
            .simulator
            .push_fault(Fault::new(Effect::BlackHole).on_login().once());
        let begun = Instant::now();
        let login = running.login_request().timeout(Duration::from_secs(30)).send().await;
        assert!(login.unwrap_err().is_timeout());
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
        let entry = running.simulator.journal().entries().pop().unwrap();
        assert_eq!((entry.status, entry.fault.as_deref()), (None, Some("black-hole")));
        assert_eq!(running.log_in().await.status(), 200);
        assert_eq!(running.simulator.journal().under_way(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn end_bodies_even_without_a_connection() {
        use tower::ServiceExt;
        for effect in [
            Effect::Reset { after_bytes: None },
            Effect::Reset { after_bytes: Some(3) },
            Effect::Cut {
                after_bytes: 3,
                chunked: true,
            },
        ] {
            let simulator = Simulator::new(options());
            simulator.push_fault(Fault::new(effect));
            let request = http::Request::get("/api/v2/date")
                .body(axum::body::Body::empty())
                .unwrap();
            let answer = simulator.router().oneshot(request).await.unwrap();
            assert!(axum::body::to_bytes(answer.into_body(), 1_000).await.is_err());
        }
    }
}

mod journal {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tells_what_was_asked_and_with_which_token() {
        let running = running(options()).await;
        let (_, token) = (running.token().await, running.token().await);
        let body = sample!("conversation-details/request-acd-voice.json");
        running.post(DETAILS, &body).bearer_auth(&token).send().await.unwrap();
        running
            .get("/api/v2/users?pageSize=100&id=a")
            .bearer_auth("stranger")
            .send()
            .await
            .unwrap();

        let journal = running.simulator.journal();
        let entries = journal.entries();
        let told: Vec<_> = entries
            .iter()
            .map(|entry| {
                (
                    entry.number,
                    entry.method.as_str(),
                    entry.path.as_str(),
                    entry.token,
                    entry.status,
                )
            })
            .collect();
        let expected = [
            (1, "POST", "/oauth/token", Some(1), Some(200)),
            (2, "POST", "/oauth/token", Some(2), Some(200)),
            (3, "POST", DETAILS, Some(2), Some(200)),
            (4, "GET", "/api/v2/users", None, Some(401)),
        ];
        assert_eq!(told, expected);
        assert_eq!(entries[0].body, json!({ "grant_type": "client_credentials" }));
        assert_eq!(entries[2].body, body);
        assert_eq!(entries[3].query.as_deref(), Some("pageSize=100&id=a"));
        assert_eq!(
            (
                journal.count("/oauth/"),
                journal.count("/api/v2/"),
                journal.count_status(200)
            ),
            (2, 2, 3)
        );
        let everything = format!("{entries:?}");
        assert!(!everything.contains(&token) && !everything.contains("simulated-secret"));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_what_is_under_way_together() {
        let running = running(Options {
            latency: Duration::from_secs(1),
            ..options()
        })
        .await;
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            requests.spawn(running.get("/api/v2/date").send());
        }
        let answers = requests.join_all().await;
        assert!(answers.iter().all(Result::is_ok));
        running.get("/api/v2/date").send().await.unwrap();
        let journal = running.simulator.journal();
        assert_eq!((journal.most_simultaneous(), journal.under_way()), (20, 0));
        assert_eq!(journal.requests_in_any_window(Duration::from_secs(1)), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn notices_a_caller_who_leaves() {
        let running = running(options()).await;
        running.simulator.push_fault(Fault::new(Effect::BlackHole));
        let request = running.get("/api/v2/date").send();
        tokio::time::timeout(Duration::from_secs(3), request).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let entry = running.simulator.journal().entries().pop().unwrap();
        assert_eq!(entry.duration.unwrap().as_secs(), 3);
        assert_eq!(running.simulator.journal().under_way(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn can_be_read_and_faults_ordered_over_http() {
        let running = running(options()).await;
        let control = |method, path| {
            running
                .client
                .request(method, format!("{}/_simulator/{path}", running.url))
        };
        let token = running.token().await;
        let toml = "[[faults]]\nwhen = { count = 1 }\nthen = { do = \"status\", status = 500 }";
        let json = json!({ "faults": [{ "when": { "nth": 9 }, "then": { "do": "black-hole" } }] });
        assert_eq!(
            control(Method::POST, "faults")
                .body(toml)
                .send()
                .await
                .unwrap()
                .status(),
            204
        );
        assert_eq!(
            control(Method::POST, "faults")
                .json(&json)
                .send()
                .await
                .unwrap()
                .status(),
            204
        );
        let wrong = control(Method::POST, "faults").body("[[faults]]").send().await.unwrap();
        assert_eq!(wrong.status(), 400);
        assert!(wrong.text().await.unwrap().contains("missing field `then`"));

        let date = async || {
            running
                .get("/api/v2/date")
                .bearer_auth(&token)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        assert_eq!(date().await, 500);
        let unused: Value = control(Method::GET, "faults")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(unused[0]["then"]["do"], "black-hole");
        control(Method::DELETE, "faults").send().await.unwrap();
        assert!(running.simulator.unused_faults().is_empty());
        assert_eq!(date().await, 200);
        control(Method::DELETE, "tokens").send().await.unwrap();
        assert_eq!(date().await, 401);

        let journal: Value = control(Method::GET, "journal")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let statuses: Vec<_> = journal
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["status"])
            .collect();
        assert_eq!(statuses, [200, 500, 200, 401]);
        assert_eq!(journal[1]["fault"], "status");
        control(Method::DELETE, "journal").send().await.unwrap();
        assert!(running.simulator.journal().entries().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn shutting_down_lets_requests_finish_and_drops_what_never_will() {
    let running = running(Options {
        latency: Duration::from_secs(2),
        ..options()
    })
    .await;
    running
        .simulator
        .push_fault(Fault::new(Effect::BlackHole).on_path("/api/v2/users"));
    let lost = tokio::spawn(running.get("/api/v2/users").send());
    let slow = tokio::spawn(running.get("/api/v2/date").send());
    tokio::time::sleep(Duration::from_secs(1)).await;

    let begun = Instant::now();
    running.stop.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap().status(), 401);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert!(lost.await.unwrap().is_err());
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert!(running.client.get(&running.url).send().await.unwrap_err().is_connect());
}

/// A simulator on a free port of the loopback, and a client of it. Stops when dropped.
struct Running {
    simulator: Simulator,
    url: String,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    _server: JoinSet<()>,
}

/// The 429 of the samples tells to wait 42 seconds: so far away is the next minute here.
fn options() -> Options {
    let now: Timestamp = "2024-03-01T10:00:18Z".parse().unwrap();
    Options {
        days: 2,
        conversations_per_day: 50,
        ..Options::new(Clock::starting_at(now))
    }
}

async fn running(options: Options) -> Running {
    let simulator = Simulator::new(options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = JoinSet::new();
    let serving = simulator.clone();
    server.spawn(async move {
        serving
            .serve(listener, async {
                stopped.await.ok();
            })
            .await;
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Running {
        simulator,
        url,
        client,
        stop,
        _server: server,
    }
}

impl Running {
    fn login_request(&self) -> RequestBuilder {
        let request = self.client.post(format!("{}/oauth/token", self.url));
        let request = request.basic_auth("simulated-client", Some("simulated-secret"));
        request.form(&[("grant_type", "client_credentials")])
    }

    async fn log_in(&self) -> Response {
        self.login_request().send().await.unwrap()
    }

    async fn token(&self) -> String {
        let body: Value = self.log_in().await.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    /// The bytes of an authenticated request, for a connection of its own.
    async fn raw_request(&self, path: &str) -> String {
        let token = self.token().await;
        format!("GET {path} HTTP/1.1\r\nHost: simulator\r\nAuthorization: Bearer {token}\r\n\r\n")
    }
}

/// Sends the bytes and reads until the connection ends, however it does.
async fn raw_exchange(running: &Running, request: &str) -> (String, io::Result<usize>) {
    let address = running.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = connection.read_to_end(&mut answer).await;
    (String::from_utf8(answer).unwrap(), ended)
}

fn content_length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.expect("the answer declares a length").parse().unwrap()
}

async fn error_code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["code"].as_str().unwrap().to_owned())
}

fn error(status: u16, code: &str, message: &str) -> Value {
    json!({ "status": status, "code": code, "message": message, "contextId": "", "details": [], "errors": [] })
}

/// Checks against the vendor's models of responses.
fn assert_is_a(model: &str, body: &Value) {
    let mut schema: Value = serde_json::from_str(include_str!("genesys/schemas-lookups.json")).unwrap();
    if schema["definitions"][model].is_null() {
        schema = serde_json::from_str(include_str!("genesys/schemas.json")).unwrap();
    }
    assert!(schema["definitions"][model].is_object(), "no model {model}");
    schema["$ref"] = json!(format!("#/definitions/{model}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<_> = validator.iter_errors(body).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{model}: {problems:?}");
    for field in body.as_object().unwrap().keys() {
        assert!(
            schema["definitions"][model]["properties"][field].is_object(),
            "{model} has no field {field}"
        );
    }
}
