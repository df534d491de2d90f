//! The nearest thing that would have been right.

/// The known name most like what was written, if one is near enough to be worth saying.
///
/// Letter case aside, a name that ends or begins with the words written wins (`queue.id` means
/// `routing.queue.id`), then the one that takes the fewest edits.
pub(crate) fn nearest<N: AsRef<str>>(written: &str, known: impl IntoIterator<Item = N>) -> Option<String> {
    let written = written.trim().to_ascii_lowercase();
    // Nothing this long is a slip of the pen, and the distance costs the product of both lengths.
    if written.is_empty() || written.len() > 64 {
        return None;
    }
    let tolerance = (written.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .filter_map(|name| {
            let cost = cost(&written, &name.as_ref().to_ascii_lowercase(), tolerance)?;
            Some((cost, name))
        })
        .min_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, name)| name.as_ref().to_owned())
}

/// How far apart two names are; `None` when too far. Sharing whole words costs little, whatever their number.
fn cost(written: &str, name: &str, tolerance: usize) -> Option<(usize, usize)> {
    let whole_words = |rest: Option<&str>, dot: fn(&str) -> bool| rest.is_some_and(dot);
    if written.len() > 1
        && (whole_words(name.strip_suffix(written), |rest| {
            rest.is_empty() || rest.ends_with('.')
        }) || whole_words(name.strip_prefix(written), |rest| rest.starts_with('.')))
    {
        return Some((0, name.len() - written.len()));
    }
    if written.len().abs_diff(name.len()) > tolerance {
        return None;
    }
    let edits = strsim::osa_distance(written, name);
    (edits <= tolerance).then_some((edits, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_name_is_found() {
        let known = [
            "routing.queue.id",
            "routing.queue.name",
            "handle.time.average",
            "handle.time.sum",
            "nOffered",
            "ani",
        ];
        for (written, expected) in [
            ("routing.queue.idd", Some("routing.queue.id")),
            ("queue.name", Some("routing.queue.name")),
            ("noffered", Some("nOffered")),
            ("nOfferd", Some("nOffered")),
            ("handle.time", Some("handle.time.sum")),
            ("handle.time.averge", Some("handle.time.average")),
            ("any", Some("ani")),
            ("xyz", None),
            ("", None),
            ("e", None),
        ] {
            assert_eq!(nearest(written, known).as_deref(), expected, "{written}");
        }
    }
}
