//! The upstream's own paths that are answered here.

use std::sync::LazyLock;

use axum::http::Method;

use crate::query::Source;

/// Those of `paths.txt`, which says what stands in it and what does not.
pub(super) static PATHS: LazyLock<Vec<Path>> = LazyLock::new(|| {
    let lines = include_str!("paths.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(Path::read).collect()
});

/// A method and a path.
#[derive(Debug)]
pub(super) struct Path {
    /// GET, POST or, of a job, DELETE.
    pub(super) method: Method,
    /// With the names of parameters in braces.
    pub(super) template: &'static str,
    /// What the answer is about.
    pub(super) kind: Kind,
    /// What may stand in the query string.
    pub(super) parameters: Vec<&'static str>,
}

/// What answers are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Aggregates of a family over an interval.
    Figures(Source),
    /// Conversations of the days of an interval.
    Details,
    /// A job about details or aggregates.
    Job,
    /// How a job stands.
    JobState,
    /// What a job brought.
    JobResults,
    /// Other records of an interval.
    Records,
    /// How things are at this moment.
    Now,
    /// What things are called and how they are set up.
    Names,
}

impl Path {
    fn read(line: &'static str) -> Self {
        const WELL_FORMED: &str = "a line has a method, a kind, a path and perhaps parameters";
        let (head, parameters) = line.split_once(" ? ").unwrap_or((line, ""));
        let mut words = head.split_whitespace();
        let mut word = || words.next().expect(WELL_FORMED);
        let (method, kind, template) = (word(), word(), word());
        let kind = match kind {
            "figures" => Kind::Figures(family(template).expect("every family of figures is known")),
            "details" => Kind::Details,
            "job" => Kind::Job,
            "state" => Kind::JobState,
            "results" => Kind::JobResults,
            "records" => Kind::Records,
            "now" => Kind::Now,
            "names" => Kind::Names,
            _ => panic!("{WELL_FORMED}"),
        };
        Self {
            method: method.parse().expect(WELL_FORMED),
            template,
            kind,
            parameters: parameters.split_whitespace().collect(),
        }
    }
}

fn family(template: &str) -> Option<Source> {
    let rest = template.strip_prefix("/api/v2/analytics/")?;
    Source::named(rest.strip_suffix("/aggregates/query")?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn published() -> Vec<Value> {
        let published = include_str!("../../simulator/genesys/endpoints.json");
        let published: Value = serde_json::from_str(published).unwrap();
        let lists = ["endpoints", "lookups"].map(|list| published[list].as_array().unwrap().clone());
        lists.concat()
    }

    #[test]
    fn every_path_is_published_and_takes_what_is_published() {
        let published = published();
        for path in PATHS.iter() {
            let known = published
                .iter()
                .find(|known| known["method"] == path.method.as_str() && known["path"] == path.template)
                .unwrap_or_else(|| panic!("{} {}", path.method, path.template));
            let parameters = known["queryParams"].as_array().unwrap().iter();
            let parameters: Vec<_> = parameters
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(path.parameters, parameters, "{}", path.template);
        }
        let distinct: BTreeSet<_> = PATHS.iter().map(|path| (path.method.as_str(), path.template)).collect();
        assert_eq!(distinct.len(), PATHS.len());
    }

    #[test]
    fn every_query_of_analytics_is_answered() {
        for known in published() {
            let (method, path) = (known["method"].as_str().unwrap(), known["path"].as_str().unwrap());
            let is_query = method == "POST" && path.contains("/analytics/") && path.ends_with("/query");
            // Lists the dashboards of persons.
            if is_query && !path.contains("/dashboards/") {
                let listed = PATHS.iter().any(|one| one.template == path && one.method == method);
                assert!(listed, "{path}");
            }
        }
    }
}
