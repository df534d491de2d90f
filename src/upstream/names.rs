//! Whole listings of ids and names.
//!
//! The first page says how many there are; the rest are read together. Pages are asked for by number: a URI
//! in an answer is a hint that there is more, never an address.

use std::collections::HashMap;

use super::{Answered, Client, Errand, Names, Sent, Told, UpstreamError, wire, wire::ListingPage};
use crate::query::catalogue::Lookup;
use futures_util::{StreamExt, TryStreamExt, stream};

/// Accepted by nearly all listings.
const PAGE_SIZE: usize = 100;
/// Past this, the listing is taken to be without end.
const MOST_PAGES: usize = 2_000;

pub(super) async fn read(client: &Client, lookup: Lookup, errand: &Errand) -> Result<Names, UpstreamError> {
    let sent = Sent::default();
    let page = |number| {
        let call = wire::listing(lookup, PAGE_SIZE, number);
        client.start(call, errand, &sent, |body| wire::read_listing(body))
    };

    let first = page(1).await?;
    let announced = first.value.page_count.unwrap_or(1).clamp(1, MOST_PAGES);
    let mut more = first.value.more;
    let mut names = Names {
        by_id: HashMap::new(),
        divisions: HashMap::new(),
        upstream_calls: 0,
        fetched_at: first.sent_at,
    };
    add(&mut names, first);

    let rest: Vec<Answered<ListingPage>> = stream::iter(2..=announced)
        .map(page)
        .buffered(client.page_concurrency())
        .try_collect()
        .await?;
    for answered in rest {
        more = answered.value.more && !answered.value.empty;
        add(&mut names, answered);
    }
    // Entities added meanwhile can make more pages than were announced.
    for number in announced + 1.. {
        if !more {
            break;
        }
        if number > MOST_PAGES {
            return Err(UpstreamError::Unavailable {
                reason: "a listing does not end".to_owned(),
                told: Told::default(),
                source: None,
            });
        }
        let next = page(number).await?;
        more = next.value.more && !next.value.empty;
        add(&mut names, next);
    }
    names.upstream_calls = sent.take();
    Ok(names)
}

fn add(names: &mut Names, answered: Answered<ListingPage>) {
    names.fetched_at = names.fetched_at.min(answered.sent_at);
    names.by_id.extend(answered.value.names);
    names.divisions.extend(answered.value.divisions);
}
