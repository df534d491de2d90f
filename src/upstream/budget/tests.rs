use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::{
    task::JoinSet,
    time::{advance, sleep},
};

use super::*;

/// Histories of each property, by number.
const SEEDS: u64 = 20;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn budget(limit: u32, concurrency: usize) -> Arc<Budget> {
    Arc::new(Budget::new(
        limit,
        LimitSource::Default,
        concurrency,
        Fleet::default(),
        1,
    ))
}

fn errand(caller: &str, class: Class, deadline: Instant) -> Errand {
    Errand::new(caller, class, deadline)
}

fn soon(deadline: Instant) -> Errand {
    errand("caller", Class::Interactive, deadline)
}

/// Asks without end, `at_once` at a time, until `end`; each request takes 300 ms. Returns when each was sent.
fn press(
    budget: &Arc<Budget>,
    caller: &'static str,
    class: Class,
    at_once: usize,
    end: Instant,
) -> tokio::task::JoinHandle<Vec<Instant>> {
    let budget = Arc::clone(budget);
    tokio::spawn(async move {
        let mut askers = JoinSet::new();
        for _ in 0..at_once {
            let budget = Arc::clone(&budget);
            askers.spawn(async move {
                let mut sent = Vec::new();
                while let Ok(turn) = budget.turn(&errand(caller, class, end)).await {
                    let _in_flight = turn.spend().unwrap();
                    sent.push(Instant::now());
                    sleep(Duration::from_millis(300)).await;
                }
                sent
            });
        }
        let mut sent = askers.join_all().await.concat();
        sent.sort();
        sent
    })
}

/// However requests come, whoever sends them and whatever happens to them, no stretch of a window holds more than the
/// limit, and everybody gets what they were promised.
#[tokio::test(start_paused = true)]
async fn no_window_holds_more_than_the_limit() {
    for seed in 0..SEEDS {
        let mut random = Pcg64::seed_from_u64(seed);
        let limit = random.random_range(1..40);
        let budget = budget(limit, random.random_range(1..6));
        let started = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..150 {
            let budget = Arc::clone(&budget);
            let class = Class::ALL[random.random_range(0..3)];
            let caller = ["a", "b", "c"][random.random_range(0..3)];
            let [comes, takes] = [20_000, 500].map(|most| Duration::from_millis(random.random_range(0..most)));
            let (leaves, returns) = (random.random_bool(0.1), random.random_bool(0.1));
            senders.spawn(async move {
                sleep(comes).await;
                let wish = errand(caller, class, started + seconds(100_000));
                let turn = budget.turn(&wish);
                let turn = if leaves {
                    tokio::time::timeout(takes, turn).await.ok()?.unwrap()
                } else {
                    turn.await.unwrap()
                };
                if returns {
                    return None;
                }
                let in_flight = turn.spend()?;
                let sent = Instant::now();
                sleep(takes).await;
                drop(in_flight);
                Some(sent)
            });
        }
        let mut sends: Vec<_> = senders.join_all().await.into_iter().flatten().collect();
        sends.sort();
        let limit = usize::try_from(limit).unwrap();
        for stretch in sends.windows(limit + 1) {
            let within = stretch[limit] - stretch[0];
            assert!(within >= WINDOW, "seed {seed}: {} sends within {within:?}", limit + 1);
        }
        let quota = budget.quota();
        let waiting: usize = quota.classes.iter().map(|class| class.usage.waiting).sum();
        assert_eq!((quota.in_flight, waiting), (0, 0), "seed {seed}: all places are back");
    }
}

/// One caller alone, in whichever class: at least 95 % of the requests a minute allows are sent while more are wanted.
#[tokio::test(start_paused = true)]
async fn a_backlog_uses_the_quota() {
    for class in Class::ALL {
        for limit in [60, 300, 1000] {
            let budget = budget(limit, 32);
            let minutes = 10;
            let end = Instant::now() + seconds(60 * minutes);
            let sent = press(&budget, "caller", class, 30, end).await.unwrap().len() as f64;
            let used = sent / (f64::from(limit) * minutes as f64);
            assert!(used >= 0.95, "{class:?} at {limit}: {used}");
        }
    }
}

/// All classes want more than there is: each gets its share in every minute, but for a tenth that others borrowed while
/// nobody of the class was waiting.
#[tokio::test(start_paused = true)]
async fn shares_hold_under_contention() {
    let limit = 300;
    for at_once in [[10, 10, 10], [30, 5, 5], [5, 30, 30]] {
        let budget = budget(limit, 100);
        let start = Instant::now();
        let end = start + 6 * WINDOW;
        let classes: Vec<_> = Class::ALL.into_iter().zip(at_once).collect();
        let pressing = classes
            .iter()
            .map(|(class, at_once)| press(&budget, class.name(), *class, *at_once, end));
        for ((class, _), sent) in classes.iter().zip(futures_util::future::join_all(pressing).await) {
            let sent = sent.unwrap();
            let share = schedule::share(*class, limit as usize);
            for window in 1..6 {
                let from = start + window * WINDOW;
                let within = sent.iter().filter(|at| (from..from + WINDOW).contains(at)).count();
                assert!(
                    within * 10 >= share * 9,
                    "{at_once:?}: {class:?} had {within} of {share} in window {window}"
                );
            }
        }
    }
}

/// A thousand requests of one caller, and another who asks once a second: the other hardly notices.
#[tokio::test(start_paused = true)]
async fn one_caller_with_a_thousand_waiting_starves_nobody() {
    for seed in 0..SEEDS / 10 {
        let mut random = Pcg64::seed_from_u64(seed);
        let budget = budget(300, 32);
        let end = Instant::now() + seconds(600);
        let many = press(&budget, "many", Class::Interactive, 1000, end);
        sleep(Duration::from_millis(random.random_range(0..60_000))).await;
        let (mut longest, mut all) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..150 {
            sleep(Duration::from_millis(random.random_range(500..1_500))).await;
            let asked = Instant::now();
            let wish = errand("one", Class::Interactive, asked + seconds(30));
            let _in_flight = budget.turn(&wish).await.unwrap().spend();
            longest = longest.max(asked.elapsed());
            all += asked.elapsed();
        }
        assert!(longest < seconds(4), "seed {seed}: waited {longest:?}");
        assert!(all < seconds(30), "seed {seed}: waited {all:?} for 150");
        many.abort();
    }
}

/// Two callers who both want all: half each.
#[tokio::test(start_paused = true)]
async fn callers_who_want_more_than_there_is_get_the_same() {
    let budget = budget(300, 32);
    let end = Instant::now() + seconds(600);
    let (many, few) = tokio::join!(
        press(&budget, "many", Class::Interactive, 100, end),
        press(&budget, "few", Class::Interactive, 10, end)
    );
    let (many, few) = (many.unwrap().len(), few.unwrap().len());
    assert!(many.abs_diff(few) * 20 < many, "{many} and {few}");
}

/// Whatever is refreshed and exported, a page that asks twenty things at once waits for what comes free meanwhile, which
/// is about five a second at 300 a minute.
#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_delays_nobody_beyond_its_share() {
    for classes in [
        &[Class::Refresh][..],
        &[Class::Export],
        &[Class::Refresh, Class::Export],
    ] {
        let budget = budget(300, 32);
        let end = Instant::now() + seconds(900);
        let pressing: Vec<_> = classes
            .iter()
            .map(|class| press(&budget, "service", *class, 100, end))
            .collect();
        for _ in 0..20 {
            sleep(seconds(37)).await;
            let asked = Instant::now();
            let page = (0..20).map(async |_| {
                let wish = errand("person", Class::Interactive, asked + seconds(30));
                budget.turn(&wish).await.unwrap().spend().map(drop)
            });
            assert!(futures_util::future::join_all(page).await.iter().all(Option::is_some));
            assert!(
                asked.elapsed() < seconds(8),
                "{classes:?}: waited {:?}",
                asked.elapsed()
            );
        }
        pressing.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Places in flight: those who wait for an answer find some however many others are out.
#[tokio::test(start_paused = true)]
async fn a_quarter_of_the_places_is_kept_for_those_who_wait() {
    let budget = budget(1000, 8);
    let deadline = Instant::now() + seconds(60);
    let mut out = Vec::new();
    for _ in 0..6 {
        out.push(
            budget
                .turn(&errand("a", Class::Export, deadline))
                .await
                .unwrap()
                .spend()
                .unwrap(),
        );
    }
    let (seventh, wish) = (Arc::clone(&budget), errand("a", Class::Refresh, deadline));
    let seventh = tokio::spawn(async move { seventh.turn(&wish).await.map(drop) });
    tokio::task::yield_now().await;
    assert!(!seventh.is_finished());
    for _ in 0..2 {
        out.push(budget.turn(&soon(deadline)).await.unwrap().spend().unwrap());
    }
    out.remove(0);
    out.remove(0);
    seventh.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_served_in_time_is_told_at_once() {
    let budget = budget(1, 1);
    let deadline = Instant::now() + seconds(60);
    drop(budget.turn(&soon(deadline)).await.unwrap().spend());
    let asked = Instant::now();
    let Err(UpstreamError::Budget { retry_after, .. }) = budget.turn(&soon(deadline)).await else {
        panic!("a second request within the window");
    };
    assert_eq!((retry_after, asked.elapsed()), (WINDOW, Duration::ZERO));
}

/// What is promised is kept: of a crowd, some are told at once when to come back, and those who are let wait have their
/// turn in time.
#[tokio::test(start_paused = true)]
async fn a_crowd_is_told_at_once_or_served_in_time() {
    for seed in 0..SEEDS {
        let mut random = Pcg64::seed_from_u64(seed);
        let budget = budget(random.random_range(3..60), 32);
        let asked = Instant::now();
        let crowd = (0..200).map(|_| {
            let class = Class::ALL[random.random_range(0..3)];
            let caller = ["a", "b", "c"][random.random_range(0..3)];
            let wish = errand(caller, class, asked + seconds(30));
            let budget = Arc::clone(&budget);
            async move {
                let outcome = budget.turn(&wish).await.map(|turn| drop(turn.spend()));
                (outcome, asked.elapsed())
            }
        });
        for (outcome, took) in futures_util::future::join_all(crowd).await {
            match outcome {
                Ok(()) => assert!(took < seconds(30), "seed {seed}: {took:?}"),
                Err(UpstreamError::Budget { retry_after, .. }) => {
                    assert!(
                        took == Duration::ZERO && retry_after > Duration::ZERO,
                        "seed {seed}: told after {took:?}"
                    );
                }
                Err(other) => panic!("seed {seed}: {other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_gate_is_told_to_those_already_waiting() {
    let budget = budget(1, 1);
    let deadline = Instant::now() + seconds(100);
    drop(budget.turn(&soon(deadline)).await.unwrap().spend());
    let waiting = [(); 2].map(|()| {
        let budget = Arc::clone(&budget);
        tokio::spawn(async move { budget.turn(&soon(Instant::now() + seconds(130))).await.map(drop) })
    });
    tokio::task::yield_now().await;
    budget.close_gate_for(seconds(200));
    let told = Instant::now();
    for waiter in waiting {
        assert!(matches!(
            waiter.await.unwrap(),
            Err(UpstreamError::Budget { retry_after, .. }) if retry_after >= seconds(200)
        ));
    }
    assert_eq!(told.elapsed(), Duration::ZERO);
    assert_eq!(budget.quota().gate_closed_for, seconds(200));
    advance(seconds(200)).await;
    let reopened = Instant::now();
    drop(budget.turn(&soon(reopened + seconds(1))).await.unwrap());
    assert_eq!(reopened.elapsed(), Duration::ZERO, "open for exactly what was asked");
}

#[tokio::test(start_paused = true)]
async fn a_turn_given_before_the_gate_closed_is_given_back() {
    let budget = budget(10, 1);
    let deadline = Instant::now() + seconds(60);
    let turn = budget.turn(&soon(deadline)).await.unwrap();
    budget.close_gate_for(seconds(5));
    assert!(turn.spend().is_none());
    let asked = Instant::now();
    assert!(budget.turn(&soon(deadline)).await.unwrap().spend().is_some());
    assert_eq!((asked.elapsed(), budget.quota().left), (seconds(5), 9));
}

#[tokio::test(start_paused = true)]
async fn a_turn_not_spent_costs_nothing() {
    let budget = budget(1, 1);
    let deadline = Instant::now() + seconds(1);
    drop(budget.turn(&soon(deadline)).await.unwrap());
    assert_eq!(budget.quota().left, 1);
    drop(budget.turn(&soon(deadline)).await.unwrap().spend());
    assert_eq!(budget.quota().left, 0);
}

/// Somebody begins to wait for what is being refreshed.
#[tokio::test(start_paused = true)]
async fn an_errand_that_becomes_urgent_is_served_as_such() {
    let budget = budget(3, 1);
    let start = Instant::now();
    let wish = errand("service", Class::Refresh, start + seconds(30));
    // Its share, and then it borrows what is left, bit by bit.
    for _ in 0..2 {
        drop(budget.turn(&wish).await.unwrap().spend());
    }
    let (waiting, patient) = (Arc::clone(&budget), wish.on_terms(Class::Refresh, start + seconds(120)));
    let joined = patient.clone();
    let waiting = tokio::spawn(async move { waiting.turn(&patient).await.map(drop) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    joined.join(&errand("person", Class::Interactive, start + seconds(30)));
    waiting.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Refusals lower the limit for everybody, also for those who were promised a turn; what cannot be kept is told.
#[tokio::test(start_paused = true)]
async fn refusals_lower_the_limit_and_are_told_to_those_already_waiting() {
    let budget = budget(2, 4);
    let start = Instant::now();
    for _ in 0..2 {
        drop(budget.turn(&soon(start + seconds(30))).await.unwrap().spend());
    }
    let waiting = [(); 2].map(|()| {
        let budget = Arc::clone(&budget);
        tokio::spawn(async move { budget.turn(&soon(start + WINDOW + seconds(30))).await.map(drop) })
    });
    tokio::task::yield_now().await;
    budget.refused(start, None);
    let quota = budget.quota();
    assert_eq!((quota.limit, quota.allowed), (1, 2));
    let mut told = 0;
    for waiter in waiting {
        told += usize::from(waiter.await.unwrap().is_err());
    }
    assert_eq!(told, 1);
}

#[test]
fn the_documented_shares_are_those_that_hold() {
    let page = include_str!("../../../docs/budget.md");
    for class in Class::ALL {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", class.name())));
        let percent = format!("{} %", schedule::share(class, 100));
        assert!(line.unwrap().contains(&percent), "{class:?}: {percent}");
    }
}
