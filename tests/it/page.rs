//! The front page: whoever opens it sees a chart, can change what it shows, take it away, and share its address.

use std::time::Duration;

use fantoccini::{Locator, elements::Element};
use serde_json::json;

use crate::support::{
    browser::{Browser, with_browser},
    service::Service,
};

/// Judges the page as a screen reader's user would; a development dependency of `src/page`, installed by `./test`.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/node_modules/axe-core/axe.min.js");

#[tokio::test]
async fn a_report_is_drawn_changed_shared_and_taken_away() {
    let service = Service::start().await;
    let origin = format!("http://{}", service.address);
    with_browser(async |browser| {
        browser.client.goto(&origin).await.expect("the page opens");
        find(browser, "canvas[data-drawn=line]").await;
        assert!(is_painted(browser).await, "a chart is drawn");
        assert!(text(browser, "h2").await.starts_with("Queue performance"));
        assert!(
            text(browser, ".freshness").await.contains("As of 20"),
            "it says how fresh it is"
        );
        assert_eq!(violations(browser).await, Vec::<String>::new());

        // Looked at otherwise, and asked otherwise: both are in the address.
        click(browser, ".views label:nth-of-type(2)").await;
        find(browser, "canvas[data-drawn=bar]").await;
        choose(browser, "Report", "service-level-by-half-hour").await;
        wait_for(browser, "h2", "Service level by half-hour").await;
        click(browser, "th:nth-of-type(2) button").await;
        find(browser, "th[aria-sort=descending]").await;
        let address = browser.client.current_url().await.expect("an address");
        let asked: Vec<(String, String)> = address.query_pairs().into_owned().collect();
        for pair in [
            ("page.report", "service-level-by-half-hour"),
            ("page.sort", "-conversation.offered"),
        ] {
            assert!(asked.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{address}");
        }

        // Whoever is sent the address sees the same.
        let seen = text(browser, "tbody").await;
        browser.client.goto("about:blank").await.expect("elsewhere");
        browser.client.goto(address.as_str()).await.expect("the page opens");
        find(browser, "th[aria-sort=descending]").await;
        assert_eq!(text(browser, "tbody").await, seen);

        // Taken away, by a program and by a person.
        click(browser, ".take .row button:nth-of-type(1)").await;
        let copied = text(browser, ".take pre").await;
        let file = find(browser, ".take a[href*='.csv']").await;
        let file = file.prop("href").await.expect("a link").expect("an address");
        for (url, first) in [(copied, "{"), (file, "interval.start,")] {
            let response = reqwest::get(&url).await.expect("the service answers");
            assert_eq!(response.status(), 200, "{url}");
            let body = response.text().await.expect("an answer");
            assert!(body.starts_with(first), "{url}: {body:.80}");
        }

        assert_eq!(browser.console_errors().await, Vec::<String>::new());
        let foreign = browser
            .loaded()
            .await
            .into_iter()
            .filter(|url| !url.starts_with(&origin));
        assert_eq!(
            foreign.collect::<Vec<_>>(),
            Vec::<String>::new(),
            "nothing is fetched from elsewhere"
        );
    })
    .await;
}

#[tokio::test]
async fn a_query_is_composed_by_keyboard_and_a_wrong_one_is_explained() {
    let service = Service::start().await;
    let origin = format!("http://{}", service.address);
    with_browser(async |browser| {
        browser
            .client
            .goto(&format!(
                "{origin}/?dateFrom=now-1d/d&dateTo=now/d&select=conversation.offered"
            ))
            .await
            .expect("the page opens");
        wait_for(browser, "caption", "Query: 1 rows").await;
        // Type, walk, press Enter: a group, and a filter by the name of a queue.
        type_into(browser, "Grouped by", "media type").await;
        type_into(browser, "Add a filter on", "routing.queue.name").await;
        type_into(browser, "Only routing.queue.name", "Support").await;
        click(browser, "form button.changed").await;
        find(browser, "canvas[data-drawn=bar]").await;
        let address = browser.client.current_url().await.expect("an address");
        let asked: Vec<(String, String)> = address.query_pairs().into_owned().collect();
        assert!(
            asked.contains(&("groupBy".to_owned(), "media.type".to_owned())),
            "{address}"
        );
        assert!(
            asked
                .iter()
                .any(|(name, value)| name == "filter" && value.starts_with("routing.queue.id:")),
            "{address}"
        );
        assert!(text(browser, "tbody").await.contains("voice"));
        assert_eq!(violations(browser).await, Vec::<String>::new());

        browser
            .client
            .goto(&format!("{origin}/?dateFrom=soon&select=conversation.ofered"))
            .await
            .expect("the page opens");
        let told = text(browser, "main .problem").await;
        for part in ["/dateFrom", "/select/0", "conversation.offered"] {
            assert!(told.contains(part), "{told}");
        }
    })
    .await;
}

/// Rows that are things one by one are listed, and nothing is drawn of them.
#[tokio::test]
async fn users_are_listed_and_not_drawn() {
    let service = Service::start().await;
    let origin = format!("http://{}", service.address);
    with_browser(async |browser| {
        browser.client.goto(&origin).await.expect("the page opens");
        find(browser, "canvas[data-drawn=line]").await;
        for (report, title, column) in [
            ("agents-now", "Agents now", "Presence"),
            ("agent-timeline", "Agent timeline", "State"),
        ] {
            choose(browser, "Report", report).await;
            wait_for(browser, "h2", title).await;
            assert!(text(browser, "thead").await.contains(column), "{report}");
            assert!(!text(browser, "tbody").await.is_empty(), "{report}");
            for drawn in ["canvas", ".views"] {
                let found = browser.client.find_all(Locator::Css(drawn)).await.expect("a list");
                assert!(found.is_empty(), "{report}: {drawn}");
            }
            assert_eq!(violations(browser).await, Vec::<String>::new(), "{report}");
        }
        assert_eq!(browser.console_errors().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn the_board_of_queues_goes_on_by_itself() {
    let service = Service::start().await;
    let origin = format!("http://{}", service.address);
    with_browser(async |browser| {
        browser.client.goto(&origin).await.expect("the page opens");
        choose(browser, "Report", "*live").await;
        find(browser, "th[aria-sort=descending]").await;
        let told = async || {
            let time = find(browser, ".freshness time").await;
            time.attr("datetime").await.expect("an attribute").expect("an instant")
        };
        let first = told().await;
        // The next tick is seen without anybody doing anything.
        let next = format!("//*[@class='freshness']//time[@datetime != '{first}']");
        let wait = browser.client.wait().at_most(Duration::from_secs(20));
        wait.for_element(Locator::XPath(&next))
            .await
            .expect("a second observation");
        assert_eq!(violations(browser).await, Vec::<String>::new());
        assert_eq!(browser.console_errors().await, Vec::<String>::new());
    })
    .await;
}

/// Whether anything but the background is on the canvas.
async fn is_painted(browser: &Browser) -> bool {
    let script = "const canvas = document.querySelector('canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value !== 0)";
    browser
        .client
        .execute(script, Vec::new())
        .await
        .expect("the script runs")
        == json!(true)
}

/// What axe finds wrong, by rule and place.
async fn violations(browser: &Browser) -> Vec<String> {
    let axe = std::fs::read_to_string(AXE).unwrap_or_else(|error| {
        panic!("{AXE} cannot be read ({error}): run ./test, which installs what the tests need")
    });
    browser.client.execute(&axe, Vec::new()).await.expect("axe loads");
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document).then((found) => done(found.violations.flatMap((rule) =>
            rule.nodes.map((node) => `${rule.id}: ${node.target}: ${node.failureSummary}`))), (error) => done([String(error)]))";
    let found = browser
        .client
        .execute_async(script, Vec::new())
        .await
        .expect("axe runs");
    serde_json::from_value(found).expect("a list of texts")
}

async fn choose(browser: &Browser, label: &str, value: &str) {
    field(browser, label)
        .await
        .select_by_value(value)
        .await
        .expect("it can be chosen");
}

/// Types into a field that offers what fits, and takes the first.
async fn type_into(browser: &Browser, label: &str, text: &str) {
    let field = field(browser, label).await;
    field.click().await.expect("it can be clicked");
    field.send_keys(text).await.expect("it takes keys");
    let list = field
        .attr("aria-controls")
        .await
        .expect("an attribute")
        .expect("a list of options");
    let word = text.split(' ').next_back().unwrap_or(text);
    // The list follows what is typed; its first option is the one that fits once it names the word.
    let fits = format!("//*[@id='{list}']/*[@role='option'][1][contains(., '{word}')]");
    let wait = browser.client.wait().at_most(Duration::from_secs(15));
    wait.for_element(Locator::XPath(&fits))
        .await
        .unwrap_or_else(|error| panic!("nothing fits {text}: {error}"));
    field.send_keys("\u{e007}").await.expect("it takes Enter");
}

/// The field with a label, found as a person finds it.
async fn field(browser: &Browser, label: &str) -> Element {
    let path = format!("//*[@id = //label[normalize-space() = '{label}']/@for]");
    let wait = browser.client.wait().at_most(Duration::from_secs(15));
    wait.for_element(Locator::XPath(&path))
        .await
        .unwrap_or_else(|error| panic!("no field is called {label}: {error}"))
}

async fn wait_for(browser: &Browser, tag: &str, wanted: &str) {
    let path = format!("//{tag}[normalize-space() = '{wanted}']");
    let wait = browser.client.wait().at_most(Duration::from_secs(15));
    wait.for_element(Locator::XPath(&path))
        .await
        .unwrap_or_else(|error| panic!("no {tag} says {wanted}: {error}"));
}

async fn text(browser: &Browser, css: &str) -> String {
    // Looked up anew each time: the page may have replaced the element meanwhile.
    for _ in 0..20 {
        if let Ok(text) = find(browser, css).await.text().await {
            return text;
        }
    }
    panic!("{css} does not stay")
}

async fn click(browser: &Browser, css: &str) {
    find(browser, css).await.click().await.expect("it can be clicked");
}

async fn find(browser: &Browser, css: &str) -> Element {
    let wait = browser.client.wait().at_most(Duration::from_secs(15));
    wait.for_element(Locator::Css(css))
        .await
        .unwrap_or_else(|error| panic!("nothing on the page is {css}: {error}"))
}
