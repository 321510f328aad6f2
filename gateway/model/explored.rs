//! Nothing is wrong in any order of events; and when a rule is broken, something is, and it is found.
//!
//! `cargo model -- --ignored --nocapture` explores the larger configurations too, and prints what it took. `EXPLORE` names
//! one of those in which all is at once, by a part of its name, and `EXPLORE_SECONDS` how long each of them may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::coherence::plant::Fault;
use model::configurations::{
    Around, BUCKET, Broken, CONDITIONS, CONFIRMATION, CRASH, CUTS, Configuration, EVERYTHING, FULL, JOINERS,
    LEASES, MISFORTUNES, MISFORTUNES_AT_ONE_NODE, MISFORTUNES_IN_ONE_ORDER, MISFORTUNES_OF_TWO_CHANGES,
    ONE_ORDER, OVERTAKING, PAUSE, RELEASE, RENEWALS, RESTART, REVOCATION, STOPPING, Sending, TWO_WRITERS,
    USERS,
};
use model::grace::{self, Grace, REMOVED, WHOLE};
use model::world::{Action, BOUNDED, Exploration, LINEARIZABLE, LIVE, ONCE, TRUSTED, World};
use stateright::{Checker, HasDiscoveries, Model};

/// Explores all of it and finds nothing wrong.
fn holds(configuration: &Configuration) {
    let began = Instant::now();
    let exploration = Exploration::new(configuration.clone());
    let seen = Arc::clone(&exploration.seen);
    let checker = exploration.checker().finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{}: not so: {property}\nafter {:#?}", configuration.name, path.into_actions());
    }
    let states = checker.unique_state_count();
    println!("{}: {states} states, {:.0} s", configuration.name, began.elapsed().as_secs_f64());
    shows(configuration, &seen);
}

/// It is about what it says.
fn shows(configuration: &Configuration, seen: &AtomicU32) {
    let seen = seen.load(Ordering::Relaxed);
    for event in configuration.shows {
        assert!(seen & *event as u32 != 0, "{}: never {event:?}", configuration.name);
    }
}

/// Explores as much of it as it can within `limit` and finds nothing wrong. Prints how much that was.
fn holds_as_far_as_seen(configuration: &Configuration, limit: Duration) {
    let began = Instant::now();
    let exploration = Exploration::new(configuration.clone());
    let (seen, stopped) = (Arc::clone(&exploration.seen), Arc::clone(&exploration.stopped));
    let checker = exploration.checker().finish_when(HasDiscoveries::AnyFailures).spawn_dfs();
    let mut minutes_told = 0;
    while !checker.is_done() && began.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(200));
        if began.elapsed().as_secs() / 60 > minutes_told {
            minutes_told += 1;
            println!("{}: {} states so far", configuration.name, checker.unique_state_count());
        }
    }
    let is_whole = checker.is_done();
    stopped.store(true, Ordering::Relaxed);
    let checker = checker.join();
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{}: not so: {property}\nafter {:#?}", configuration.name, path.into_actions());
    }
    println!(
        "{}: {}, {} states, {} transitions, {} events deep, {:.0} s, {} MiB at most",
        configuration.name,
        if is_whole { "to the end" } else { "NOT to the end" },
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
        peak_memory_bytes() >> 20,
    );
    if is_whole {
        shows(configuration, &seen);
    }
}

/// The most memory that this process has had.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it says how much");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

/// Finds that `property` does not hold when a rule is broken.
fn finds(broken: Broken, configuration: &Configuration, property: &'static str) {
    let exploration = Exploration::new(Configuration { broken, ..configuration.clone() });
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = exploration.checker().finish_when(found).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("{broken:?} makes no difference to: {property}")).into_actions();
    println!("{broken:?}: not so: {property}\nafter {path:?}");
}

/// Walks through it at random, `runs_count` times from the seed `first` on, and finds nothing wrong. A violation is printed with
/// its seed.
fn walks(configuration: &Configuration, first: u64, runs_count: u64) {
    let exploration = Exploration::new(configuration.clone());
    let start = exploration.init_states().pop().expect("one to begin with");
    let mut states_count = 0_u64;
    for seed in first..first + runs_count {
        let (mut state, mut path) = (start.clone(), Vec::new());
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        while let Some((action, next)) = any_next(&exploration, &state, &mut random) {
            (state, states_count) = (next, states_count + 1);
            path.push(action);
            for property in exploration.properties() {
                let holds = (property.condition)(&exploration, &state);
                assert!(holds, "seed {seed}: not so: {}\nafter {path:#?}", property.name);
            }
        }
    }
    println!("{}: {runs_count} runs, {states_count} states", configuration.name);
    shows(configuration, &exploration.seen);
}

fn any_next(exploration: &Exploration, state: &World, random: &mut Random) -> Option<(Action, World)> {
    let mut actions = Vec::new();
    exploration.actions(state, &mut actions);
    while !actions.is_empty() {
        let action = actions.swap_remove(random.below(actions.len()));
        if let Some(next) = exploration.next_state(state, action) {
            return Some((action, next));
        }
    }
    None
}

/// xorshift64*: the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % bound
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn finds_in_machine(fault: Fault, configuration: &Configuration) {
    finds(Broken::Machine(fault), configuration, LINEARIZABLE);
}

#[test]
fn two_writers_of_one_key() {
    holds(&TWO_WRITERS);
}

#[test]
fn joiners_of_a_resolve_in_flight() {
    holds(&JOINERS);
}

#[test]
fn bucket_clears() {
    holds(&BUCKET);
}

#[test]
fn release_of_interest() {
    holds(&RELEASE);
}

#[test]
fn batched_confirmation() {
    holds(&CONFIRMATION);
}

#[test]
fn control_overtakes_answers() {
    holds(&OVERTAKING);
}

#[test]
fn stream_cuts() {
    holds(&CUTS);
}

#[test]
fn leases_with_a_cut() {
    holds(&LEASES);
}

#[test]
fn late_renewals() {
    holds(&RENEWALS);
}

#[test]
fn a_node_pauses() {
    holds(&PAUSE);
}

#[test]
fn a_node_is_killed() {
    holds(&CRASH);
}

#[test]
fn the_owner_restarts() {
    holds(&RESTART);
}

#[test]
fn clean_stops() {
    holds(&STOPPING);
}

#[test]
fn users_and_objects_of_two_owners() {
    holds(&USERS);
}

#[test]
fn revocation_over_streams_that_break() {
    holds(&REVOCATION);
}

#[test]
fn conditions() {
    holds(&CONDITIONS);
}

#[test]
fn all_at_once_in_one_order() {
    holds(&ONE_ORDER);
}

/// Half a minute each, and the most that is explored of what goes wrong.
fn holds_while_all_is_at_once(misfortune: &str) {
    let named = |configuration: &&&Configuration| configuration.name.ends_with(misfortune);
    holds(MISFORTUNES_IN_ONE_ORDER.iter().find(named).expect("there is one of that name"));
}

#[test]
fn all_at_once_and_a_stream_breaks() {
    holds_while_all_is_at_once("a stream breaks");
}

#[test]
fn all_at_once_and_messages_are_late() {
    holds_while_all_is_at_once("messages are late");
}

#[test]
fn all_at_once_and_a_node_stands_still() {
    holds_while_all_is_at_once("a node stands still");
}

#[test]
fn all_at_once_and_a_node_is_killed() {
    holds_while_all_is_at_once("a node is killed");
}

#[test]
fn all_at_once_and_the_owner_is_killed() {
    holds_while_all_is_at_once("the owner is killed");
}

#[test]
fn each_misfortune_under_a_put_and_a_change_of_the_bucket() {
    MISFORTUNES_OF_TWO_CHANGES.iter().for_each(|configuration| holds(configuration));
}

/// What is left out where all is at once leaves none of these out.
#[test]
fn rules_broken_while_all_is_at_once() {
    for around in [Around::KeptByWaiters, Around::CommitBeforeClear, Around::EndedBeforeVisible] {
        finds(Broken::Around(around), &ONE_ORDER, LINEARIZABLE);
    }
    let faults = [
        Fault::ReadInsideInterval,
        Fault::IntervalsNotCounted,
        Fault::OnceServesJoiners,
        Fault::NoInterest,
        Fault::ReleaseWhileAsked,
    ];
    for fault in faults {
        finds_in_machine(fault, &ONE_ORDER);
    }
    finds(Broken::Around(Around::AcksLost), &ONE_ORDER, LIVE);
}

/// `WALKS` asks for more than a thousand, `WALKS_SEED` for others.
#[test]
fn everything_at_once_at_random() {
    let (first, runs_count) = (number("WALKS_SEED", 1), number("WALKS", 1000));
    walks(&EVERYTHING, first, runs_count);
    walks(&Configuration { sending: Sending::OneByOne, ..EVERYTHING }, first, runs_count);
}

#[test]
#[ignore = "takes long; what it took is in ops/decisions"]
fn everything_larger() {
    FULL.iter().for_each(|configuration| holds(configuration));
}

#[test]
#[ignore = "takes long; what it took is in ops/decisions"]
fn all_at_once() {
    let wanted = std::env::var("EXPLORE").unwrap_or_default();
    let limit = Duration::from_secs(number("EXPLORE_SECONDS", 600));
    let all = MISFORTUNES_AT_ONE_NODE.iter().chain(MISFORTUNES);
    for configuration in all.filter(|configuration| configuration.name.contains(&wanted)) {
        holds_as_far_as_seen(configuration, limit);
    }
}

#[test]
fn rule_1_broken_a_read_opens_inside_an_announced_interval() {
    finds_in_machine(Fault::ReadInsideInterval, &TWO_WRITERS);
}

#[test]
fn rule_1_broken_a_second_writer_is_forgotten_after_the_first_one_s_commit() {
    finds_in_machine(Fault::IntervalsNotCounted, &TWO_WRITERS);
}

#[test]
fn rule_1_broken_an_interval_ends_before_its_commit_is_visible() {
    finds(Broken::Around(Around::EndedBeforeVisible), &TWO_WRITERS, LINEARIZABLE);
}

#[test]
fn rule_2_broken_a_serve_once_answer_serves_joiners() {
    finds_in_machine(Fault::OnceServesJoiners, &JOINERS);
}

#[test]
fn rule_3_broken_waiters_keep_answers() {
    finds(Broken::Around(Around::KeptByWaiters), &TWO_WRITERS, LINEARIZABLE);
}

#[test]
fn rule_4_broken_no_interest() {
    finds_in_machine(Fault::NoInterest, &TWO_WRITERS);
}

#[test]
fn rule_4_broken_interest_is_released_while_a_resolve_is_unanswered() {
    finds_in_machine(Fault::ReleaseWhileAsked, &RELEASE);
}

#[test]
fn rule_4_broken_a_clear_leaves_the_negative() {
    finds_in_machine(Fault::NegativeSurvivesClear, &RELEASE);
}

#[test]
fn rule_5_broken_an_expired_session_is_renewed() {
    finds_in_machine(Fault::ExpiredRenewed, &RENEWALS);
    finds(Broken::Machine(Fault::ExpiredRenewed), &RENEWALS, TRUSTED);
}

#[test]
fn rule_5_broken_heads_live_under_any_session() {
    finds_in_machine(Fault::AnySessionServes, &CUTS);
}

#[test]
fn rule_6_broken_the_user_is_seen_once() {
    finds(Broken::Around(Around::UserSeenOnce), &USERS, LINEARIZABLE);
}

#[test]
fn rule_7_broken_a_condition_is_decided_when_it_is_staged() {
    finds(Broken::Around(Around::ConditionWhenStaged), &CONDITIONS, ONCE);
}

#[test]
fn rule_8_broken_a_change_is_sent_twice() {
    finds(Broken::Around(Around::SentTwice), &TWO_WRITERS, ONCE);
}

#[test]
fn rule_9_broken_a_batch_is_marked_by_its_first_answer() {
    finds_in_machine(Fault::BatchMarkedByFirst, &CONFIRMATION);
}

#[test]
fn rule_9_broken_revisions_repeat() {
    finds(Broken::Around(Around::RevisionsRepeat), &CONFIRMATION, LINEARIZABLE);
}

#[test]
fn rule_10_broken_overtaken_answers_are_kept() {
    finds_in_machine(Fault::OvertakenStillKept, &OVERTAKING);
}

#[test]
fn rule_11_a_response_keeps_what_it_sends() {
    let checker = Grace(grace::Broken::Nothing).checker().spawn_bfs().join();
    assert!(checker.discovery(WHOLE).is_none());
    assert!(checker.discovery(REMOVED).is_some());
}

#[test]
fn rule_11_broken_only_fills_renew() {
    let checker = Grace(grace::Broken::OnlyFillsRenew).checker().spawn_bfs().join();
    assert!(checker.discovery(WHOLE).is_some());
}

#[test]
fn rule_11_broken_no_grace_after_a_restart() {
    let checker = Grace(grace::Broken::NoGraceAfterRestart).checker().spawn_bfs().join();
    assert!(checker.discovery(WHOLE).is_some());
}

#[test]
fn broken_a_lease_is_counted_from_receipt() {
    finds_in_machine(Fault::LeaseFromReceipt, &RENEWALS);
}

#[test]
fn broken_the_answer_to_a_stale_renewal_counts() {
    finds_in_machine(Fault::StaleRenewalCounts, &RENEWALS);
}

#[test]
fn broken_no_margin_for_clocks_that_differ() {
    finds(Broken::Around(Around::NoMargin), &RENEWALS, LINEARIZABLE);
}

#[test]
fn broken_a_change_commits_before_it_is_cleared() {
    finds(Broken::Around(Around::CommitBeforeClear), &CUTS, LINEARIZABLE);
}

#[test]
fn broken_nothing_is_withheld_after_a_restart() {
    finds(Broken::Around(Around::NothingWithheld), &RESTART, LINEARIZABLE);
}

#[test]
fn broken_a_session_id_is_used_again() {
    finds(Broken::Around(Around::SessionIdsReused), &RESTART, LINEARIZABLE);
}

#[test]
fn broken_a_paused_clock() {
    finds(Broken::Around(Around::ClockStops), &PAUSE, LINEARIZABLE);
}

#[test]
fn broken_a_user_s_change_is_not_cleared() {
    finds(Broken::Around(Around::UserNotCleared), &USERS, LINEARIZABLE);
}

#[test]
fn broken_a_silent_session_is_renewed_for_ever() {
    finds(Broken::Machine(Fault::SilentRenewed), &RENEWALS, BOUNDED);
}

#[test]
fn broken_acknowledgements_do_not_arrive() {
    finds(Broken::Around(Around::AcksLost), &CUTS, LIVE);
}
