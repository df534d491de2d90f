//! The documentation page is a working console: a newcomer's first query happens there.

use std::time::Duration;

use fantoccini::Locator;
use serde_json::Value;

use crate::support::{
    browser::{Browser, with_browser},
    service::Service,
};

#[tokio::test]
async fn the_example_query_works_from_the_documentation_page() {
    let service = Service::start().await;
    let origin = format!("http://{}", service.address);
    with_browser(async |browser| {
        browser
            .client
            .goto(&format!("{origin}/docs"))
            .await
            .expect("the page opens");
        try_out(browser, "post", "/v1/query").await;

        let status = find(browser, ".live-responses-table .response .response-col_status").await;
        assert!(
            status.text().await.expect("a text").starts_with("200"),
            "{:?}",
            status.text().await
        );
        let body = find(browser, ".live-responses-table .response .response-col_description pre").await;
        let body: Value = serde_json::from_str(&body.text().await.expect("a text")).expect("the answer is JSON");
        let rows = body["entities"].as_array().expect("rows");
        assert!(
            rows.iter().any(|row| row["routing"]["queue"]["name"].is_string()),
            "{body}"
        );
        assert_eq!(browser.console_errors().await, Vec::<String>::new());
        let foreign: Vec<_> = browser
            .loaded()
            .await
            .into_iter()
            .filter(|url| !url.starts_with(&origin))
            .collect();
        assert_eq!(foreign, Vec::<String>::new(), "the page fetches nothing from elsewhere");
    })
    .await;
}

/// Unfolds an operation and sends its example, as a person would.
async fn try_out(browser: &Browser, method: &str, path: &str) {
    let operation = format!(".opblock-{method}:has([data-path='{path}'])");
    for button in [".opblock-summary-control", ".try-out__btn", ".execute"] {
        find(browser, &format!("{operation} {button}"))
            .await
            .click()
            .await
            .expect("it can be clicked");
    }
}

async fn find(browser: &Browser, css: &str) -> fantoccini::elements::Element {
    let wait = browser.client.wait().at_most(Duration::from_secs(15));
    wait.for_element(Locator::Css(css))
        .await
        .unwrap_or_else(|error| panic!("nothing on the page is {css}: {error}"))
}
