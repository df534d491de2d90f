//! Where in a trace work is done, as programs tell each other: the fields `traceparent` and `tracestate` of W3C Trace
//! Context. What is not written exactly as it has to be is passed over, and so is what belongs to nobody: `baggage`.

use std::{collections::BTreeSet, fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The trace and the span that what follows is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// What the caller says of the trace: bit 0 is that it is recorded, bit 1 that its id is random.
    flags: u8,
    /// What tracing systems remember of it, a list of `key=value`.
    state: Option<Arc<str>>,
}

/// Carries trace, span and flags.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Carries what tracing systems remember.
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flags there are.
const SAMPLED: u8 = 0b01;
const RANDOM: u8 = 0b10;

/// The most of a `tracestate` that is passed on; a longer one is dropped whole.
const STATE_BYTES: usize = 512;
const STATE_MEMBERS: usize = 32;
const STATE_PART: usize = 256;

impl Context {
    /// What a request says, if it says it once and rightly.
    pub fn received(fields: &HeaderMap) -> Option<Self> {
        let mut parents = fields.get_all(&TRACEPARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let (trace, span, flags) = parse_parent(parent.as_bytes())?;
        Some(Self {
            trace,
            span,
            flags: flags & (SAMPLED | RANDOM),
            state: parse_state(fields.get_all(&TRACESTATE).iter()),
        })
    }

    /// The beginning of a trace.
    pub(super) fn beginning(trace: TraceId, is_sampled: bool) -> Self {
        Self {
            trace,
            span: SpanId::new(),
            flags: RANDOM,
            state: None,
        }
        .sampled(is_sampled)
    }

    /// Another span of the same trace.
    pub(super) fn next(&self) -> Self {
        Self {
            span: SpanId::new(),
            ..self.clone()
        }
    }

    /// The same, recorded or not.
    pub(super) fn sampled(mut self, is_sampled: bool) -> Self {
        self.flags = (self.flags & !SAMPLED) | u8::from(is_sampled);
        self
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    pub(super) fn state(&self) -> Option<&Arc<str>> {
        self.state.as_ref()
    }

    /// The fields of a request that is part of this span.
    pub fn fields(&self) -> HeaderMap {
        let parent = format!("00-{}-{}-{:02x}", self.trace, self.span, self.flags);
        let parent = (TRACEPARENT.clone(), HeaderValue::try_from(parent));
        let state = self.state.as_deref().map(HeaderValue::from_str);
        let state = state.map(|state| (TRACESTATE.clone(), state));
        let fields = [parent].into_iter().chain(state);
        // Hex, and what has come in a field, can go out in one.
        fields.filter_map(|(name, value)| Some((name, value.ok()?))).collect()
    }
}

/// Names a trace; not zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// Names a span; not zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

impl TraceId {
    pub(super) fn new() -> Self {
        Self(not_zero(rand::random))
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    fn new() -> Self {
        Self(not_zero(rand::random))
    }

    pub(super) fn bytes(self) -> [u8; 8] {
        self.0
    }
}

fn not_zero<const N: usize>(draw: impl Fn() -> [u8; N]) -> [u8; N] {
    loop {
        let id = draw();
        if id != [0; N] {
            return id;
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

fn write_hex(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

/// `version-trace-span-flags`. Of a version to come, what is known of this one is read, and more may follow.
fn parse_parent(text: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    const LENGTH: usize = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".len();
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let [version] = parse_hex(&known[..2])?;
    let ends_well = match version {
        0xff => false,
        0 => rest.is_empty(),
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let is_divided = [2, 35, 52].into_iter().all(|at| known[at] == b'-');
    let (trace, span) = (parse_hex(&known[3..35])?, parse_hex(&known[36..52])?);
    let [flags] = parse_hex(&known[53..])?;
    let is_right = ends_well && is_divided && trace != [0; 16] && span != [0; 8];
    is_right.then_some((TraceId(trace), SpanId(span), flags))
}

/// Two lower-case digits a byte.
fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = (digit(digits[0])? << 4) | digit(*digits.get(1)?)?;
    }
    Some(bytes)
}

/// The members of all fields in their order, if every one is written rightly, none twice, and they are not too many.
fn parse_state<'a>(fields: impl Iterator<Item = &'a HeaderValue>) -> Option<Arc<str>> {
    let mut members = Vec::new();
    let mut keys = BTreeSet::new();
    for field in fields {
        for member in field.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || !keys.insert(key) {
                return None;
            }
            members.push(member);
        }
    }
    let state = members.join(",");
    let is_within = !members.is_empty() && members.len() <= STATE_MEMBERS && state.len() <= STATE_BYTES;
    is_within.then(|| state.into())
}

fn is_key(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = key.bytes();
    key.len() <= STATE_PART
        && bytes.next().is_some_and(is_plain)
        && bytes.all(|byte| is_plain(byte) || b"_-*/@".contains(&byte))
}

fn is_value(value: &str) -> bool {
    let is_right = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b'=';
    (1..=STATE_PART).contains(&value.len()) && value.bytes().all(is_right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn received(fields: &[(&HeaderName, &str)]) -> Option<Context> {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).clone(), HeaderValue::from_str(value).unwrap()));
        let mut map = HeaderMap::new();
        fields.for_each(|(name, value)| {
            map.append(name, value);
        });
        Context::received(&map)
    }

    #[test]
    fn a_parent_is_read_as_it_has_to_be_written_or_not_at_all() {
        for (text, flags) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some(0b01)),
            (format!("00-{TRACE}-{SPAN}-00"), Some(0b00)),
            (format!("00-{TRACE}-{SPAN}-03"), Some(0b11)),
            // Flags nobody knows yet are not passed on.
            (format!("00-{TRACE}-{SPAN}-fe"), Some(0b10)),
            (format!("cc-{TRACE}-{SPAN}-01"), Some(0b01)),
            (format!("cc-{TRACE}-{SPAN}-01-what-will-be"), Some(0b01)),
            (format!("cc-{TRACE}-{SPAN}-01."), None),
            (format!("cc-{TRACE}-{SPAN}-01what"), None),
            (format!("00-{TRACE}-{SPAN}-01-"), None),
            (format!("00-{TRACE}-{SPAN}-01-more"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("0-{TRACE}-{SPAN}-01"), None),
            (format!("0x-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-0"), None),
            (format!("00-{TRACE}-{SPAN}-0x"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), None),
            (format!("00-{TRACE}-{SPAN}-0A"), None),
            (format!("00_{TRACE}_{SPAN}_01"), None),
            (format!("00-{TRACE}{SPAN}--01"), None),
            (format!("00-{}.-{SPAN}-01", &TRACE[..31]), None),
            (String::new(), None),
        ] {
            let found = received(&[(&TRACEPARENT, &text)]);
            let told = found.as_ref().map(|context| {
                assert_eq!(
                    (context.trace.to_string(), context.span.to_string()),
                    (TRACE.to_owned(), SPAN.to_owned())
                );
                context.flags
            });
            assert_eq!(told, flags, "{text:?}");
        }
        let right = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(received(&[]), None);
        assert_eq!(received(&[(&TRACEPARENT, &right), (&TRACEPARENT, &right)]), None);
        assert_eq!(received(&[(&TRACESTATE, "a=1")]), None, "nothing without a parent");
    }

    #[test]
    fn a_state_is_passed_on_whole_or_dropped_whole() {
        let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        let long = |bytes: usize| format!("a={},b={}", "x".repeat(254), "y".repeat(bytes - 259));
        let key = "k".repeat(256);
        for (fields, expected) in [
            (vec!["a=1"], Some("a=1")),
            (vec!["a=1,b=2", "c=3"], Some("a=1,b=2,c=3")),
            (vec![" a=1 ,\tb=2\t, ,"], Some("a=1,b=2")),
            (
                vec!["t61rcwkgmze@system=x:1;y~z", "0_-*/@=!"],
                Some("t61rcwkgmze@system=x:1;y~z,0_-*/@=!"),
            ),
            (vec!["a=b c"], Some("a=b c")),
            (vec![&many(32)], Some(many(32).as_str())),
            (vec![&many(33)], None),
            (vec![&long(512)], Some(long(512).as_str())),
            (vec![&long(513)], None),
            (vec![&format!("{key}=v")], Some(format!("{key}=v").as_str())),
            (vec![&format!("{key}k=v")], None),
            (vec![&format!("a={}", "v".repeat(257))], None),
            (vec!["a=1", "a=2"], None),
            (vec!["a=1,b"], None),
            (vec!["A=1"], None),
            (vec!["_a=1"], None),
            (vec!["a b=1"], None),
            (vec!["a=1=2"], None),
            (vec!["a=1\t2"], None),
            (vec!["a="], None),
            (vec!["=1"], None),
            (vec![""], None),
            (vec![], None),
        ] {
            let parent = format!("00-{TRACE}-{SPAN}-01");
            let fields: Vec<_> = fields.iter().map(|state| (&TRACESTATE, *state)).collect();
            let context = received(&[&[(&TRACEPARENT, parent.as_str())], &fields[..]].concat());
            let context = context.expect("what is wrong with the state is nothing against the parent");
            assert_eq!(context.state.as_deref(), expected, "{fields:?}");
            let sent = context.fields();
            let sent = sent.get(&TRACESTATE).map(|state| state.to_str().unwrap());
            assert_eq!(sent, expected, "{fields:?}");
        }
    }

    #[test]
    fn what_is_sent_is_the_same_trace_under_another_span() {
        let state = (&TRACESTATE, "a=1");
        let context = received(&[(&TRACEPARENT, &format!("cc-{TRACE}-{SPAN}-03-more")), state]).unwrap();
        let next = context.next();
        assert_ne!(next.span, context.span);
        assert_eq!(next.fields()[&TRACEPARENT], format!("00-{TRACE}-{}-03", next.span));
        assert_eq!(next.fields()[&TRACESTATE], "a=1");
        assert_eq!(Context::received(&next.fields()), Some(next.clone()));
        let not_recorded = next.sampled(false);
        assert_eq!(
            not_recorded.fields()[&TRACEPARENT],
            format!("00-{TRACE}-{}-02", not_recorded.span)
        );
    }

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
            let fields = HeaderMap::from_iter([(TRACEPARENT.clone(), parent.clone()), (TRACESTATE.clone(), state)]);
            let Some(context) = Context::received(&fields) else { return Ok(()) };
            let sent = context.fields();
            prop_assert_eq!(Context::received(&sent), Some(context));
            // Nothing but the version and the flags can differ.
            prop_assert_eq!(&sent[&TRACEPARENT].as_bytes()[3..53], &parent.as_bytes()[3..53]);
            prop_assert!(sent.get(&TRACESTATE).is_none_or(|state| state.len() <= STATE_BYTES));
        }
    }
}
