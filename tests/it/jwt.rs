//! Tokens of an identity provider: taken when everything about them is right, refused otherwise, and the provider is left
//! in peace.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{
    events::Listener,
    provider::{Provider, SigningKey, claims, noon},
    service::{Answer, Service},
};

const QUERY: &str = "/v1/query?dateFrom=2023-11-29&dateTo=2023-11-30&groupBy=routing.queue.id";

async fn ask(service: &Service, token: &str, path: &str) -> Answer {
    service
        .send(service.request(Method::GET, path).bearer_auth(token))
        .await
}

async fn status(service: &Service, token: &str) -> u16 {
    ask(service, token, "/v1/catalog").await.status.as_u16()
}

#[tokio::test(start_paused = true)]
async fn keys_of_every_kind_that_is_taken_are_good() {
    let keys = [
        SigningKey::ed25519("ed"),
        SigningKey::p256("ec"),
        SigningKey::rsa("rsa"),
    ];
    let provider = Provider::start(&keys.each_ref());
    let service = provider.setup().start().await;
    for key in &keys {
        let answer = ask(&service, &key.sign(&claims("read")), QUERY).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(provider.asked(), 1);
    // What it may do is what its scopes say.
    let token = keys[0].sign(&claims("openid read"));
    let export = ask(&service, &token, "/v1/conversations?dateFrom=yesterday&format=ndjson").await;
    assert_eq!(export.status, 403);
    assert_eq!(ask(&service, &token, "/v1/cache").await.status, 403);
    assert_eq!(
        ask(&service, &keys[0].sign(&claims("admin")), "/v1/cache").await.status,
        200
    );
    assert_eq!(ask(&service, &keys[0].sign(&claims("")), QUERY).await.status, 403);
    // Nobody is let in without one.
    assert_eq!(service.get("/v1/catalog").await.status, 401);
    // Who spends the budget is known by name.
    let quota = ask(&service, &token, "/v1/quota").await.json();
    let callers = quota["callers"].as_array().unwrap();
    assert!(callers.iter().any(|caller| caller["caller"] == "jwt:anna"), "{quota}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_not_right_about_a_token_is_refused() {
    let (key, other, rsa) = (
        SigningKey::ed25519("key"),
        SigningKey::ed25519("key"),
        SigningKey::rsa("rsa"),
    );
    let provider = Provider::start(&[&key, &rsa]);
    let service = provider.setup().start().await;
    let good = key.sign(&claims("read"));
    assert_eq!(status(&service, &good).await, 200);

    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let parts: Vec<&str> = good.split('.').collect();
    let with_header = |header: Value| format!("{}.{}.{}", part(&header), parts[1], parts[2]);
    let with_claims = |changes: Value| {
        let mut claims = claims("read");
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        key.sign(&claims)
    };
    // Signed by whoever knows what everybody knows.
    let shared = Header {
        kid: Some("rsa".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let shared = encode(&shared, &claims("read"), &EncodingKey::from_secret(&rsa.public_bytes)).unwrap();
    let mut tampered = parts.clone();
    let more = part(&claims("read export live admin"));
    tampered[1] = &more;

    for (what, token) in [
        ("none", with_header(json!({"alg": "none", "kid": "key"}))),
        (
            "none, unsigned",
            format!("{}.{}.", part(&json!({"alg": "none", "kid": "key"})), parts[1]),
        ),
        ("a public key as a shared one", shared),
        (
            "another algorithm than the key's",
            with_header(json!({"alg": "RS256", "kid": "key"})),
        ),
        ("another key of the same name", other.sign(&claims("read"))),
        ("other claims", tampered.join(".")),
        (
            "unknown crit",
            with_header(json!({"alg": "EdDSA", "kid": "key", "crit": ["b64"], "b64": false})),
        ),
        ("no name of its key", with_header(json!({"alg": "EdDSA"}))),
        (
            "a key it brings itself",
            with_header(json!({"alg": "EdDSA", "kid": "x", "jwk": {"kty": "OKP"}})),
        ),
        ("iss", with_claims(json!({"iss": "https://id.example.evil"}))),
        ("no iss", with_claims(json!({"iss": null}))),
        ("aud", with_claims(json!({"aud": "another"}))),
        ("no aud", with_claims(json!({"aud": null}))),
        ("no exp", with_claims(json!({"exp": null}))),
        ("exp as text", with_claims(json!({"exp": (noon() + 60).to_string()}))),
        ("exp with a fraction", with_claims(json!({"exp": noon() as f64 + 60.5}))),
        ("exp before the epoch", with_claims(json!({"exp": -1}))),
        ("exp beyond numbers", with_claims(json!({"exp": 1e300}))),
        ("expired", with_claims(json!({"exp": noon() - 31}))),
        ("nbf", with_claims(json!({"nbf": noon() + 60}))),
        ("no sub", with_claims(json!({"sub": null}))),
        ("long", format!("{good}{}", "A".repeat(17 << 10))),
        ("cut", good[..good.len() - 4].to_owned()),
        ("not even that", "eyJ..".to_owned()),
    ] {
        let answer = ask(&service, &token, "/v1/catalog").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
        assert!(token.len() < 10 || !answer.text().contains(&token[..10]), "{what}");
    }
    // Longer than any header field may be.
    let huge = service
        .request(Method::GET, "/v1/catalog")
        .bearer_auth("e".repeat(1 << 20));
    assert!([401, 431].contains(&huge.send().await.map_or(431, |answer| answer.status().as_u16())));
    assert_eq!(status(&service, &good).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_until_it_expires() {
    let key = SigningKey::p256("key");
    let provider = Provider::start(&[&key]);
    let service = provider.setup().start().await;
    let token = key.sign(&claims("read live"));
    service.pass(3_600 + 29).await;
    assert_eq!(status(&service, &token).await, 200);
    service.pass(2).await;
    assert_eq!(status(&service, &token).await, 401);

    // What goes on for long ends with it.
    let mut later = claims("read live");
    later["exp"] = json!(noon() + 3_700);
    let token = key.sign(&later);
    let request = service.request(Method::GET, "/v1/live/queues").bearer_auth(&token);
    let mut board = Listener::send(request).await;
    let mut last = board.next().await.unwrap();
    while let Some(event) = board.next().await {
        last = event;
    }
    assert_eq!((last.name.as_str(), &last.data()["reason"]), ("end", &json!("renew")));
    let passed = service.clock.now().as_second() - noon();
    assert!((3_690..3_720).contains(&passed), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn names_nobody_knows_cost_the_provider_six_requests_a_minute() {
    let key = SigningKey::ed25519("key");
    let provider = Provider::start(&[&key]);
    let service = provider.setup().start().await;
    let good = key.sign(&claims("read"));
    assert_eq!(status(&service, &good).await, 200);
    let header =
        |number: usize| BASE64_URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": format!("k{number}")}).to_string());
    for second in 0..60 {
        for number in 0..10 {
            let token = format!("{}.e30.AAAA", header(second * 10 + number));
            assert_eq!(status(&service, &token).await, 401);
        }
        assert_eq!(status(&service, &good).await, 200);
        service.pass(1).await;
    }
    assert!((5..=7).contains(&provider.asked()), "{}", provider.asked());
    // An empty set does not make it be asked more often.
    provider.publish(&[]);
    let before = provider.asked();
    for _ in 0..60 {
        status(&service, &good).await;
        service.pass(1).await;
    }
    assert!(provider.asked() - before <= 7, "{}", provider.asked() - before);
}

#[tokio::test(start_paused = true)]
async fn keys_are_rotated_and_withdrawn() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::ed25519("new"));
    let provider = Provider::start(&[&old]);
    let service = provider.setup().start().await;
    let mut long = claims("read");
    long["exp"] = json!(noon() + 90_000);
    let [by_old, by_new] = [&old, &new].map(|key| key.sign(&long));
    assert_eq!(status(&service, &by_old).await, 200);
    provider.publish(&[&old, &new]);
    assert_eq!(status(&service, &by_new).await, 401, "asked a moment ago");
    service.pass(10).await;
    assert_eq!(status(&service, &by_new).await, 200);
    assert_eq!(status(&service, &by_old).await, 200);
    // Nobody asks for a key that is known, but it is looked now and then whether it still is one.
    provider.publish(&[&new]);
    service.pass(601).await;
    assert_eq!(status(&service, &by_old).await, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&service, &by_old).await, 401);
    assert_eq!(status(&service, &by_new).await, 200);
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_good_for_a_day_while_the_provider_is_away() {
    let key = SigningKey::ed25519("key");
    let provider = Provider::start(&[&key]);
    provider.fail(503);
    let service = provider.setup().start().await;
    let mut long = claims("read");
    long["exp"] = json!(noon() + 200_000);
    let token = key.sign(&long);
    let away = ask(&service, &token, "/v1/catalog").await;
    assert_eq!((away.status.as_u16(), away.header("retry-after")), (503, "10"));
    provider.publish(&[&key]);
    service.pass(10).await;
    assert_eq!(status(&service, &token).await, 200);
    // Away, or pointing elsewhere, which is not followed.
    for status_of_provider in [503, 302, 404] {
        provider.fail(status_of_provider);
        service.pass(3_600).await;
        assert_eq!(status(&service, &token).await, 200);
        let before = provider.asked();
        service.pass(1).await;
        assert_eq!(status(&service, &token).await, 200);
        assert!(provider.asked() - before <= 1);
    }
    service.pass(24 * 3_600).await;
    assert_eq!(status(&service, &token).await, 401);
    provider.publish(&[&key]);
    service.pass(10).await;
    assert_eq!(status(&service, &token).await, 200);
}

#[tokio::test(start_paused = true)]
async fn what_a_subject_sees_is_claimed() {
    let key = SigningKey::ed25519("key");
    let provider = Provider::start(&[&key]);
    let service = provider
        .setup()
        .set("REPORTS_AUTH__JWT__FILTERS_CLAIM", "reports_filters")
        .start()
        .await;
    let of = |filters: Value| {
        let mut claims = claims("read");
        if !filters.is_null() {
            claims["reports_filters"] = filters;
        }
        key.sign(&claims)
    };
    let everything = ask(&service, &of(json!({})), "/v1/lookups/queues").await.json();
    let own = everything["entities"][0]["id"].clone();
    let confined = of(json!({"routing.queue.id": [own]}));
    let listed = ask(&service, &confined, "/v1/lookups/queues").await.json();
    assert_eq!((&listed["total"], &listed["entities"][0]["id"]), (&json!(1), &own));
    let rows = ask(&service, &confined, QUERY).await.json();
    let rows = rows["entities"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["routing"]["queue"]["id"] == own), "{rows:?}");
    // Who does not say sees nothing.
    assert_eq!(ask(&service, &of(Value::Null), QUERY).await.status, 401);
    assert_eq!(
        ask(&service, &of(json!({"media.type": ["voice"]})), QUERY).await.status,
        401
    );
}
