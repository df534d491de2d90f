//! What was kept comes back; whatever else happens to the file, nothing wrong does.

use std::{fs, path::Path};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;

/// Something that keeps, as the service does.
struct Running {
    disk: Disk,
    stop: CancellationToken,
    owner: JoinHandle<()>,
}

impl Running {
    fn start(path: &Path, bytes: u64, organisation: &str) -> Self {
        let (disk, owner) = Disk::new(DiskSettings {
            path: path.to_owned(),
            bytes,
            organisation: Organisation::of("https://api.example", organisation),
        });
        let stop = CancellationToken::new();
        let owner = tokio::spawn(owner.run(stop.clone()));
        Self { disk, stop, owner }
    }

    fn keep(&self, number: u32, kept: &[u8]) {
        let kept = kept.to_vec();
        self.disk.keep(key(number), move |_| Some(kept));
    }

    async fn read(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<Option<Vec<u8>>> {
        let keys = numbers.into_iter().map(key).collect();
        self.disk.read(keys, |_, kept| Some(kept.to_vec())).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.owner.await.unwrap();
    }
}

const ALL: Purge = Purge {
    source: None,
    range: None,
};

fn key(number: u32) -> Key {
    let start = jiff::Timestamp::from_second(i64::from(number) * 86_400).unwrap();
    Key {
        kind: if number.is_multiple_of(2) {
            Kind::Conversations
        } else {
            Kind::Figures(Source::Users)
        },
        range: Range::new(start, start + jiff::SignedDuration::from_hours(24)).unwrap(),
        question: json!(["of", { "which": number }]),
    }
}

fn kept(number: u32) -> Vec<u8> {
    let mut random = Pcg64::seed_from_u64(number.into());
    let length = random.random_range(0..20_000);
    (0..length).map(|_| random.random()).collect()
}

/// The path of a file with entries 0 to `count`, that nobody has open.
async fn filled(directory: &Path, count: u32) -> PathBuf {
    let path = directory.join("held.redb");
    let running = Running::start(&path, 64 << 20, "us");
    for number in 0..count {
        running.keep(number, &kept(number));
    }
    running.end().await;
    path
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_comes_back_to_the_same_organisation() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path(), 10).await;
    let again = Running::start(&path, 64 << 20, "us");
    let found = again.read(0..12).await;
    let expected = (0..12).map(|number| (number < 10).then(|| kept(number)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    // What is kept for the same key is added to, by whoever encodes it.
    again
        .disk
        .keep(key(3), |before| Some([before.unwrap(), b"more"].concat()));
    again
        .disk
        .keep(key(3), |before| Some([before.unwrap(), b", more"].concat()));
    again.disk.keep(key(4), |_| None);
    again.end().await;
    let again = Running::start(&path, 64 << 20, "us");
    let more = [kept(3), b"more, more".to_vec()].concat();
    assert_eq!(again.read([3, 4]).await, [Some(more), Some(kept(4))]);
    again.end().await;

    let others = Running::start(&path, 64 << 20, "them");
    assert_eq!(others.read(0..3).await, [None, None, None]);
    others.end().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = fs::metadata(&path).unwrap();
        assert_eq!(
            file.permissions().mode() & 0o777,
            0o600,
            "what customers said is nobody else's to read"
        );
    }
}

/// Of which figures something is kept is told without looking at the entries.
#[tokio::test(start_paused = true)]
async fn what_is_kept_is_listed_for_the_same_organisation() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path(), 6).await;
    let again = Running::start(&path, 64 << 20, "us");
    let listed = |questions: Option<Vec<(Source, Value)>>| -> Vec<Value> {
        let questions = questions.unwrap().into_iter();
        let questions = questions.inspect(|(source, _)| assert_eq!(*source, Source::Users));
        questions.map(|(_, question)| question[1]["which"].clone()).collect()
    };
    // Odd are figures; what was written last comes first.
    assert_eq!(listed(again.disk.questions().await), [json!(5), json!(3), json!(1)]);
    again.keep(1, b"again");
    again.end().await;
    let again = Running::start(&path, 64 << 20, "us");
    assert_eq!(listed(again.disk.questions().await), [json!(1), json!(5), json!(3)]);
    let others = Running::start(&path, 64 << 20, "them");
    assert_eq!(others.disk.questions().await, None, "somebody else has it open");
    others.end().await;
    again.disk.remove(ALL).await;
    assert_eq!(again.disk.questions().await, Some(Vec::new()));
    // However many there are, the list stays short.
    for number in 0..1_100 {
        again.keep(number * 2 + 1, b"kept");
    }
    again.end().await;
    let them = Running::start(&path, 64 << 20, "them");
    assert_eq!(them.disk.questions().await, Some(Vec::new()));
    them.end().await;
    let again = Running::start(&path, 64 << 20, "us");
    let questions = listed(again.disk.questions().await);
    assert_eq!((questions.len(), &questions[0]), (1_000, &json!(2_199)));
    again.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_gets_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path(), 1 << 20, "us");
    running.keep(1, b"one");
    running.end().await;
    assert!(directory.path().join(FILE_NAME).is_file());
    let deep = directory.path().join("not/there/yet/held.redb");
    let running = Running::start(&deep, 1 << 20, "us");
    running.keep(1, b"one");
    running.end().await;
    assert!(deep.is_file());
}

/// Random bytes changed, cut anywhere, something else in its place: right or nothing, and good for new entries.
#[tokio::test(start_paused = true)]
async fn a_spoiled_file_is_never_a_wrong_answer() {
    const COUNT: u32 = 12;
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path(), COUNT).await;
    let sound = fs::read(&path).unwrap();
    let mut random = Pcg64::seed_from_u64(4711);
    let mut missed = 0;
    for round in 0..80 {
        let mut spoiled = sound.clone();
        match round % 4 {
            0 => spoiled.truncate(random.random_range(0..sound.len())),
            1 => {
                let at = random.random_range(0..sound.len());
                let until = (at + random.random_range(1..5000)).min(sound.len());
                spoiled[at..until].fill(random.random());
            }
            _ => {
                for _ in 0..random.random_range(1..200) {
                    // The head of the file decides about all the rest.
                    let end = if round % 8 == 2 { 1024 } else { sound.len() };
                    spoiled[random.random_range(0..end)] ^= random.random_range(1..=255_u8);
                }
            }
        }
        fs::write(&path, &spoiled).unwrap();
        let running = Running::start(&path, 64 << 20, "us");
        let found = running.read(0..COUNT).await;
        for (number, found) in (0..).zip(found) {
            assert!(
                found.is_none() || found == Some(kept(number)),
                "round {round}: entry {number}"
            );
            missed += u32::from(found.is_none());
        }
        running.keep(99, b"new");
        running.end().await;
        let again = Running::start(&path, 64 << 20, "us");
        assert_eq!(again.read([99]).await, [Some(b"new".to_vec())], "round {round}");
        again.end().await;
    }
    assert!(missed > 0, "nothing was spoiled");
}

#[tokio::test(start_paused = true)]
async fn what_is_somebody_elses_is_moved_aside() {
    const THEIRS: TableDefinition<'_, &str, u64> = TableDefinition::new("accounts");
    use redb::TableDefinition;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("held.redb");
    let elses_database = || {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(THEIRS).unwrap().insert("anna", 1).unwrap();
        transaction.commit().unwrap();
    };
    let mut aside = path.clone().into_os_string();
    aside.push(".spoiled");
    for make in [
        &elses_database as &dyn Fn(),
        &|| fs::write(&path, "name,balance\nanna,1\n").unwrap(),
        &|| fs::write(&path, vec![0; 100_000]).unwrap(),
    ] {
        make();
        let theirs = fs::read(&path).unwrap();
        let running = Running::start(&path, 1 << 20, "us");
        assert_eq!(running.read([1]).await, [None]);
        running.keep(1, b"ours");
        running.end().await;
        assert_eq!(fs::read(&aside).unwrap().len(), theirs.len());
        let running = Running::start(&path, 1 << 20, "us");
        assert_eq!(running.read([1]).await, [Some(b"ours".to_vec())]);
        running.end().await;
        fs::remove_file(&path).unwrap();
    }
}

/// While another process has it, which may be the one before us that is about to end.
#[tokio::test(start_paused = true)]
async fn a_locked_file_is_looked_at_again_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("held.redb");
    let first = Running::start(&path, 1 << 20, "us");
    first.keep(1, b"one");
    assert_eq!(first.read([2]).await, [None]);
    let second = Running::start(&path, 1 << 20, "us");
    second.keep(2, b"two");
    assert_eq!(second.read([1, 2]).await, [None, None]);
    first.end().await;
    assert_eq!(second.read([1]).await, [None], "not at every request");
    tokio::time::sleep(LEFT_ALONE).await;
    assert_eq!(second.read([1, 2]).await, [Some(b"one".to_vec()), None]);
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_written_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for path in [file.join("held.redb"), PathBuf::from("/proc/held.redb")] {
        let running = Running::start(&path, 1 << 20, "us");
        running.keep(1, b"one");
        assert_eq!(running.read([1]).await, [None], "{}", path.display());
        running.disk.remove(ALL).await;
        running.end().await;
    }
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

#[tokio::test(start_paused = true)]
async fn the_file_keeps_to_its_bound_and_the_oldest_leave_first() {
    const BOUND: u64 = 2 << 20;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("held.redb");
    let mut random = Pcg64::seed_from_u64(1);
    let mut last = 0;
    for round in 0..3 {
        let running = Running::start(&path, BOUND, "us");
        for _ in 0..300 {
            last += 1;
            let length = random.random_range(0..30_000);
            running.keep(last, &(0..length).map(|_| random.random()).collect::<Vec<_>>());
        }
        // More than a quarter of the room is never given to one.
        running.keep(0, &vec![1; 600_000]);
        running.end().await;
        let length = fs::metadata(&path).unwrap().len();
        assert!(length <= BOUND, "round {round}: {length} bytes");
        let running = Running::start(&path, BOUND, "us");
        let found = running.read(0..=last).await;
        let first = found.iter().position(Option::is_some).unwrap();
        assert!(
            first > 0 && found[first..].iter().all(Option::is_some),
            "round {round}: from {first}"
        );
        let there = found.len() - first;
        assert!(there > 20, "round {round}: {there} of {last} are there");
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_to_go_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path(), 10).await;
    let running = Running::start(&path, 64 << 20, "us");
    let there = async || {
        let found = running.read(0..10).await;
        (0..10)
            .zip(found)
            .filter_map(|(number, found)| found.map(|_| number))
            .collect::<Vec<u32>>()
    };
    let range = Range {
        start: key(4).range.start,
        end: key(5).range.end,
    };
    let purge = Purge {
        source: Some(Source::Conversations),
        range: Some(range),
    };
    running.disk.remove(purge).await;
    assert_eq!(there().await, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    running.disk.remove(Purge { source: None, ..purge }).await;
    assert_eq!(there().await, [0, 1, 2, 3, 6, 7, 8, 9]);
    let source = Some(Source::Users);
    running.disk.remove(Purge { source, range: None }).await;
    assert_eq!(there().await, [0, 2, 6, 8]);
    // What is waiting to be written goes too, what comes after stays.
    running.keep(11, b"before");
    let removed = running.disk.remove(ALL);
    removed.await;
    running.keep(13, b"after");
    assert_eq!(there().await, Vec::<u32>::new());
    running.end().await;
    let running = Running::start(&path, 64 << 20, "us");
    assert_eq!(running.read([0, 11, 13]).await, [None, None, Some(b"after".to_vec())]);
    running.end().await;
}

/// Without anybody who writes, as for one answer from the command line, what is there is read.
#[tokio::test(start_paused = true)]
async fn without_an_owner_it_is_only_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path(), 3).await;
    let (disk, _) = Disk::new(DiskSettings {
        path,
        bytes: 64 << 20,
        organisation: Organisation::of("https://api.example", "us"),
    });
    disk.keep(key(7), |_| Some(Vec::new()));
    disk.remove(ALL).await;
    let read = |_: usize, kept: &[u8]| Some(kept.to_vec());
    assert_eq!(disk.read(vec![key(2), key(7)], read).await, [Some(kept(2)), None]);
    // What makes no sense to who reads it is as if it was not there.
    assert_eq!(disk.read(vec![key(2)], |_, _| None::<()>).await, [None]);
}
