//! Where in a trace work is done, as programs tell each other: the fields `traceparent` and `tracestate` of W3C Trace
//! Context, as OpenTelemetry reads and writes them. What belongs to nobody, `baggage`, is passed over.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The most of a `tracestate` that is passed on; a longer one is dropped whole.
const STATE_BYTES: usize = 512;

/// What a request says, if it says it once and rightly.
pub(super) fn received(fields: &HeaderMap) -> Option<Context> {
    let mut parents = fields.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let told = Told {
        parent: parent.to_str().ok().filter(|parent| has_its_lengths(parent))?,
        state: state(fields),
    };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &told);
    context.has_active_span().then_some(context)
}

/// The fields of a request that is part of this context's span.
pub(super) fn fields(context: &Context) -> HeaderMap {
    let mut fields = HeaderMap::new();
    TraceContextPropagator::new().inject_context(context, &mut Tells(&mut fields));
    fields
}

/// Version, trace, span and flags each have a length, which the library does not insist on.
fn has_its_lengths(parent: &str) -> bool {
    parent.split('-').map(str::len).take(4).eq([2, 32, 16, 2])
}

/// What all fields say of the state.
fn state(fields: &HeaderMap) -> String {
    let parts = fields.get_all(TRACESTATE).iter().map(HeaderValue::to_str);
    let parts: Result<Vec<_>, _> = parts.collect();
    let state = parts.unwrap_or_default().join(",");
    if state.len() > STATE_BYTES {
        String::new()
    } else {
        state
    }
}

struct Told<'a> {
    parent: &'a str,
    state: String,
}

impl Extractor for Told<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            TRACEPARENT => Some(self.parent),
            TRACESTATE => Some(&self.state),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

struct Tells<'a>(&'a mut HeaderMap);

impl Injector for Tells<'_> {
    fn set(&mut self, name: &str, value: String) {
        // Hex, and what has come in a field, can go out in one. Where there is no state, nothing is said of it.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// What is gone on with is what was said, in the one way to say it.
        #[test]
        fn fuzz_fields(
            parent in crate::fuzz::changed(vec![format!("00-{TRACE}-{SPAN}-01").into(), format!("cc-{TRACE}-{SPAN}-00-x").into()]),
            state in crate::fuzz::changed(vec![b"vendor=1,t61rcwkgmze@system=x:1;y~z".into(), b"a=1, b=2".into()]),
        ) {
            let (Ok(parent), Ok(state)) = (HeaderValue::from_bytes(&parent), HeaderValue::from_bytes(&state)) else {
                return Ok(());
            };
            let told = [(TRACEPARENT, parent), (TRACESTATE, state)];
            let told = told.map(|(name, value)| (HeaderName::from_static(name), value));
            let Some(context) = received(&HeaderMap::from_iter(told)) else { return Ok(()) };
            let sent = fields(&context);
            prop_assert_eq!(sent[TRACEPARENT].len(), "00--01".len() + TRACE.len() + 1 + SPAN.len());
            prop_assert!(sent.get(TRACESTATE).is_none_or(|state| state.len() <= STATE_BYTES));
            let again = received(&sent).expect("what is sent can be read");
            prop_assert_eq!(fields(&again), sent);
        }
    }
}
