//! What happened, in lines that are the same whenever it happens again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::stage::{Answer, Evidence, Outcome};

pub(super) fn of(evidence: &Evidence) -> Vec<String> {
    let asked = evidence.journal.iter().map(|entry| {
        format!(
            "{:.3} {} {} {} {} token {:?}: {:?} {:?} {:?}",
            entry.at,
            entry.method,
            entry.path,
            entry.query.as_deref().unwrap_or_default(),
            entry.body,
            entry.token,
            entry.status,
            entry.fault,
            entry.duration
        )
    });
    let answers = evidence.answers.iter().chain(&evidence.recovered).map(answer);
    asked.chain(answers).collect()
}

fn answer(answer: &Answer) -> String {
    let outcome = match &answer.outcome {
        Outcome::Left => "left".to_owned(),
        Outcome::Came {
            status,
            headers,
            body,
            is_whole,
            ..
        } => {
            // A problem names its request by chance.
            let digest = if status.is_success() { digest(body) } else { 0 };
            format!("{status} {:?} {digest:016x} {is_whole}", headers.get("cache-status"))
        }
    };
    format!(
        "{:.3} to {:.3} {}: {outcome}",
        answer.asked_at,
        answer.known_at,
        answer.ask.question.target()
    )
}

fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}
