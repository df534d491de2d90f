//! A listener of server-sent events, as strict as a browser's.

use http::HeaderName;
use serde_json::Value;

use super::service::Service;

/// A stream that is being listened to. Dropping it leaves.
pub(crate) struct Listener {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// How many comments came.
    pub(crate) comments: usize,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Event {
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }
}

impl Listener {
    /// Starts to listen.
    pub(crate) async fn open(service: &Service, path: &str) -> Self {
        Self::send(service.request(reqwest::Method::GET, path)).await
    }

    /// Starts to listen after the event of that id.
    pub(crate) async fn open_after(service: &Service, path: &str, id: &str) -> Self {
        let field = HeaderName::from_static("last-event-id");
        Self::send(service.request(reqwest::Method::GET, path).header(field, id)).await
    }

    pub(crate) async fn send(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the service answers");
        assert_eq!(response.status(), 200, "{response:?}");
        let header = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        Self {
            response,
            buffer: Vec::new(),
            comments: 0,
        }
    }

    /// The next event; `None` when the stream has ended as it should.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("events are UTF-8");
                if let Some(event) = self.read(&block) {
                    return Some(event);
                }
            }
            let Some(bytes) = self.response.chunk().await.expect("the stream does not break") else {
                assert!(self.buffer.is_empty(), "half an event: {:?}", self.buffer);
                return None;
            };
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// `None` where nothing is to be told.
    fn read(&mut self, block: &str) -> Option<Event> {
        let mut event = Event::default();
        let mut has_data = false;
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", text)) => {
                    assert!(!has_data, "one line of data: {block}");
                    has_data = true;
                    text.clone_into(&mut event.text);
                }
                Some(("retry", wait)) => {
                    let _: u32 = wait.parse().expect("milliseconds");
                }
                _ if line == ":" => self.comments += 1,
                _ if line.is_empty() => {}
                _ => panic!("no such field: {line}"),
            }
        }
        has_data.then_some(event)
    }
}
