//! Pages of other origins read answers if their origin is listed, and never with a browser's own credentials.

use http::Method;

use crate::support::service::{Service, Setup};

const LISTED: &str = "https://page.example";

/// Origins, and whether they are listed.
const ORIGINS: [(&str, bool); 8] = [
    (LISTED, true),
    ("https://page.example.evil.example", false),
    ("https://evilpage.example", false),
    ("https://sub.page.example", false),
    ("http://page.example", false),
    ("https://page.example:8443", false),
    ("https://page.example/", false),
    ("null", false),
];

fn vary(headers: &http::HeaderMap) -> String {
    let values = headers.get_all("vary").iter().map(|value| value.to_str().unwrap());
    values.collect::<Vec<_>>().join(", ").to_ascii_lowercase()
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_open_to_listed_origins_only() {
    let service = Setup::new()
        .set("REPORTS_SERVER__CORS_ORIGINS", &format!("[\"{LISTED}\"]"))
        .start()
        .await;
    let document = service.get("/openapi.json").await.json();
    let mut preflights = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            for (origin, is_listed) in ORIGINS {
                let what = format!("{method} {path} from {origin}");
                let preflight = service
                    .request(Method::OPTIONS, path)
                    .header("origin", origin)
                    .header("access-control-request-method", method.to_uppercase())
                    .header(
                        "access-control-request-headers",
                        "authorization, x-api-key, content-type",
                    );
                let answer = preflight.send().await.unwrap();
                let headers = answer.headers();
                let field = |name: &str| {
                    headers
                        .get(name)
                        .map(|value| value.to_str().unwrap().to_ascii_lowercase())
                };
                assert_eq!(answer.status(), 200, "{what}");
                assert_eq!(
                    field("access-control-allow-origin").as_deref(),
                    is_listed.then_some(LISTED),
                    "{what}"
                );
                assert_eq!(field("access-control-allow-credentials"), None, "{what}");
                assert!(vary(headers).contains("origin"), "{what}");
                let methods = field("access-control-allow-methods").unwrap_or_default();
                assert!(methods.contains(method), "{what}: {methods}");
                let allowed = field("access-control-allow-headers").unwrap_or_default();
                for name in ["authorization", "x-api-key", "content-type"] {
                    assert!(allowed.contains(name), "{what}: {allowed}");
                }
                preflights += 1;
            }
        }
    }
    assert!(preflights > 500, "{preflights}");
    // Answers and refusals alike.
    for (path, status) in [
        ("/v1/catalog", 200),
        ("/nowhere", 404),
        ("/v1/query?dateFrom=soon", 422),
    ] {
        for (origin, is_listed) in ORIGINS {
            let request = service.request(Method::GET, path).header("origin", origin);
            let answer = service.send(request).await;
            assert_eq!(answer.status, status);
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, if is_listed { LISTED } else { "" }, "{path} from {origin}");
            assert!(vary(&answer.headers).contains("origin"), "{path} from {origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_list_no_other_origin_reads_anything() {
    let service = Service::start().await;
    for method in [Method::GET, Method::OPTIONS] {
        let request = service.request(method, "/v1/catalog").header("origin", LISTED);
        let answer = service
            .send(request.header("access-control-request-method", "GET"))
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert!(vary(&answer.headers).contains("origin"));
    }
}
