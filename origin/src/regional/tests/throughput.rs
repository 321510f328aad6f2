//! How many durable changes a second, what group commit brings, and what small changes wait for: in one run each.
//!
//! `cargo test -p origin --release --lib throughput -- --ignored --nocapture`

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::*;

async fn puts_per_second(store: &RegionalStore, writers: usize, puts: usize, object: &[u8]) -> f64 {
    let started = Instant::now();
    let writer = |writer: usize| async move {
        for n in 0..puts / writers {
            let key = format!("{:016x}/{writer}/{n}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            store.test_put(&key, object).await.unwrap();
        }
    };
    futures::future::join_all((0..writers).map(writer)).await;
    puts as f64 / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn durable_puts_a_second() {
    let region = Region::start().await;
    let small = bytes(1, 4096);
    for (writers, puts) in [(1, 500), (32, 10_000), (128, 20_000)] {
        let rate = puts_per_second(&region.store, writers, puts, &small).await;
        println!("4 KiB objects, {writers:3} writers: {rate:6.0} durable puts/s");
    }
    let large = bytes(2, 100_000);
    for (writers, puts) in [(1, 200), (32, 3_200)] {
        let rate = puts_per_second(&region.store, writers, puts, &large).await;
        println!("100 kB objects, {writers:3} writers: {rate:6.0} durable puts/s");
    }
    let huge = bytes(3, 256 * MIB);
    let started = Instant::now();
    let instance = region.store.test_put("huge", &huge).await.unwrap();
    let (put, started) = (started.elapsed(), Instant::now());
    assert_eq!(region.store.test_read(instance).await.unwrap().len(), huge.len());
    let (put, get) = (256.0 / put.as_secs_f64(), 256.0 / started.elapsed().as_secs_f64());
    println!("256 MiB object: put {put:.0} MiB/s, verified read {get:.0} MiB/s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn small_puts_while_large_leftovers_end() {
    let region = Region::start().await;
    for _ in 0..20 {
        region.store.test_leave_over(10_000, PAGE_BYTES).await;
    }
    region.clock.advance(region.store.shared.settings.grace);
    let (small, is_over) = (bytes(1, 4096), AtomicBool::new(false));
    let reaping = async {
        let started = Instant::now();
        region.reap().await;
        is_over.store(true, Ordering::SeqCst);
        started.elapsed()
    };
    let putting = async {
        let mut waits = Vec::new();
        while !is_over.load(Ordering::SeqCst) {
            let started = Instant::now();
            region.store.test_put("small", &small).await.unwrap();
            waits.push(started.elapsed());
        }
        waits.sort_unstable();
        waits
    };
    let (reaped, waits) = tokio::join!(reaping, putting);
    let (count, median, longest) = (waits.len(), waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "20 leftovers of 10,000 parts: ended in {reaped:.1?}; {count} puts, median {median:.1?}, longest {longest:.1?}"
    );
}
