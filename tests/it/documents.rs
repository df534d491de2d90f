//! `docs/queries.md`: every command in it works, and prints what it says it prints.
//!
//! Commands stand in blocks of `console`; a block of anything else right behind one shows what is printed. Figures, ids and
//! dates are of the day they are asked on, so only their places are compared; a line of `…` stands for any lines.

use std::{fs, iter::Peekable, path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::service::{Service, Setup};

/// On the runtime's own time, as `curl` is a process of its own.
#[tokio::test]
async fn every_example_prints_what_it_says() {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = 1_000;
    setup.simulator.days = 45;
    let service = setup.start().await;
    let mut wrong = Vec::new();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/queries.md");
    let examples = examples(&fs::read_to_string(document).unwrap());
    assert!(examples.len() > 15, "{}", examples.len());
    for (command, expected) in examples {
        match run(&service, &command).await {
            Ok(printed) if expected.is_none_or(|expected| is_like(&printed, &expected)) => {}
            Ok(printed) => wrong.push(format!("{command}\nprints\n{printed}")),
            Err(complaint) => wrong.push(format!("{command}\nfails: {complaint}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Commands, and what they are said to print.
fn examples(document: &str) -> Vec<(String, Option<String>)> {
    let mut blocks = blocks(document).peekable();
    let mut examples = Vec::new();
    while let Some((kind, command)) = blocks.next() {
        assert_eq!(kind, "console", "what is printed stands behind a command: {command}");
        examples.push((command, printed(&mut blocks)));
    }
    examples
}

fn printed(blocks: &mut Peekable<impl Iterator<Item = (String, String)>>) -> Option<String> {
    blocks.next_if(|(kind, _)| kind != "console").map(|(_, text)| text)
}

/// Fenced blocks: what they are of, and what is in them.
fn blocks(document: &str) -> impl Iterator<Item = (String, String)> {
    let mut parts = document.split("\n```");
    parts.next();
    let parts: Vec<&str> = parts.collect();
    assert!(parts.len().is_multiple_of(2), "every block ends");
    let blocks = parts.into_iter().step_by(2).map(|block| {
        let (kind, text) = block.split_once('\n').unwrap_or((block, ""));
        (kind.to_owned(), text.to_owned())
    });
    blocks.collect::<Vec<_>>().into_iter()
}

/// As a reader's shell would, asking the service of this test.
async fn run(service: &Service, command: &str) -> Result<String, String> {
    let command = command.replace("http://127.0.0.1:8080", &format!("http://{}", service.address));
    let output = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", &command])
        .env("no_proxy", "127.0.0.1")
        .current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("there is a shell");
    let [printed, complaint] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    if output.status.success() {
        Ok(printed.replace('\r', ""))
    } else {
        Err(complaint)
    }
}

fn is_like(printed: &str, expected: &str) -> bool {
    let mut printed: Vec<String> = printed.lines().map(masked).collect();
    let expected: Vec<String> = expected.lines().map(masked).collect();
    if let Some(cut) = expected.iter().position(|line| line == "…") {
        let behind = expected.len() - cut - 1;
        if printed.len() < cut + behind {
            return false;
        }
        printed.drain(cut..printed.len() - behind);
        printed.insert(cut, "…".to_owned());
    }
    printed == expected
}

/// Without what differs from day to day: ids, numbers and instants.
fn masked(line: &str) -> String {
    let is_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.');
    let is_figure = |word: &str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let is_instant = word.chars().all(|char| char.is_ascii_digit() || "-.TZ".contains(char));
        digits > 0 && (is_instant || word.len() == 36)
    };
    let mut masked = String::new();
    for (index, word) in line.split(|char: char| !is_word(char)).enumerate() {
        if index > 0 {
            masked.push(' ');
        }
        masked.push_str(if is_figure(word) { "#" } else { word });
    }
    if line == "…" { line.to_owned() } else { masked }
}

#[test]
fn what_is_alike_is_told_from_what_is_not() {
    for (printed, expected, alike) in [
        ("Support,12,0.5\nSales,3,1", "Support,7,0.25\nSales,4,0", true),
        ("Support,12", "Sales,12", false),
        ("a\n1\n2\n3\nb", "a\n9\n…\nb", true),
        ("a\n1\nc", "a\n…\nb", false),
        ("a", "a\nb", false),
        ("x,,1", "x,2,1", false),
        (
            "2026-11-26T08:00:00.000+01:00,-0.5",
            "2023-12-01T18:00:00.000+01:00,0.25",
            true,
        ),
        (
            "bf67c646-bdb6-44b5-ae03-20e368bb198a",
            "cd6ce1e5-c098-402e-8265-aecb48b601d0",
            true,
        ),
    ] {
        assert_eq!(is_like(printed, expected), alike, "{printed}");
    }
}
