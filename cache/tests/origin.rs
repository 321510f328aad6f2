//! An origin in memory: counts what it gives, and breaks where a test says.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cache::{Instance, PAGE_BYTES, Page, Pages, Purpose, Source, SourceError};
use futures::future::BoxFuture;
use futures::stream;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, sleep_until};

/// What goes wrong with one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// An error after this many pages.
    BreaksAfter(u64),
    /// A clean end after this many pages.
    EndsAfter(u64),
    /// The page after this many has a flipped bit.
    FlipsAfter(u64),
    /// The page after this many is one byte short, with the sum of what is there.
    ShortensAfter(u64),
    /// Nothing at all.
    Refuses,
    /// Nothing more, ever.
    SilentAfter(u64),
    Busy,
    Gone,
    /// No answer, for as long as it is waited for.
    NeverAnswers,
}

/// One object of `object_bytes` bytes, whose content follows from its instance.
pub(crate) struct Origin {
    pub(crate) instance: Instance,
    pub(crate) object_bytes: u64,
    name: String,
    faults: Mutex<VecDeque<Fault>>,
    /// The page that nobody gets yet, nor those after it.
    gate: watch::Sender<u64>,
    asked: Mutex<Vec<(Range<u64>, Purpose)>>,
    pages_given: Arc<AtomicU64>,
    way: Way,
}

/// How long a question is on its way, there and back, and how long each page takes that follows the first.
#[derive(Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) round_trip: Duration,
    pub(crate) page: Duration,
}

impl Origin {
    pub(crate) fn new(id: u8, object_bytes: u64) -> Arc<Self> {
        Arc::new(Self::of(id, object_bytes))
    }

    /// Gives no page before [`Origin::open`].
    pub(crate) fn gated(id: u8, object_bytes: u64) -> Arc<Self> {
        Arc::new(Self { gate: watch::Sender::new(0), ..Self::of(id, object_bytes) })
    }

    /// One of another region's.
    pub(crate) fn elsewhere(id: u8, object_bytes: u64) -> Arc<Self> {
        Arc::new(Self { name: "lga1".into(), ..Self::of(id, object_bytes) })
    }

    /// At the end of this way, which is as wide for many answers at a time as for one.
    pub(crate) fn distant(id: u8, object_bytes: u64, way: Way) -> Arc<Self> {
        Arc::new(Self { way, ..Self::of(id, object_bytes) })
    }

    /// Its first answers have these faults, the later ones none.
    pub(crate) fn faulty(id: u8, object_bytes: u64, faults: &[Fault]) -> Arc<Self> {
        Arc::new(Self { faults: Mutex::new(faults.iter().copied().collect()), ..Self::of(id, object_bytes) })
    }

    fn of(id: u8, object_bytes: u64) -> Self {
        Self {
            instance: Instance([id; 16]),
            object_bytes,
            name: "ord1".into(),
            faults: Mutex::default(),
            gate: watch::Sender::new(u64::MAX),
            asked: Mutex::default(),
            pages_given: Arc::default(),
            way: Way::default(),
        }
    }

    /// Lets out the pages before `page`.
    pub(crate) fn open(&self, page: u64) {
        self.gate.send_replace(page);
    }

    /// Pages that were given, over all answers.
    pub(crate) fn pages_given(&self) -> u64 {
        self.pages_given.load(Ordering::SeqCst)
    }

    /// The runs of pages that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<Range<u64>> {
        self.asked.lock().expect("not poisoned").iter().map(|(pages, _)| pages.clone()).collect()
    }

    /// What each of them was for.
    pub(crate) fn purposes(&self) -> Vec<Purpose> {
        self.asked.lock().expect("not poisoned").iter().map(|(_, purpose)| *purpose).collect()
    }

    pub(crate) fn pages_count(&self) -> u64 {
        self.object_bytes.div_ceil(PAGE_BYTES)
    }

    /// The object's bytes `range`.
    pub(crate) fn content(&self, range: Range<u64>) -> Vec<u8> {
        let first_page = range.start / PAGE_BYTES;
        let last_page = range.end.div_ceil(PAGE_BYTES);
        let mut bytes = Vec::new();
        for page in first_page..last_page {
            bytes.extend_from_slice(&content_of_page(self.instance, self.object_bytes, page));
        }
        let skip = (range.start - first_page * PAGE_BYTES) as usize;
        bytes[skip..skip + (range.end - range.start) as usize].to_vec()
    }
}

fn content_of_page(instance: Instance, object_bytes: u64, page: u64) -> Bytes {
    let len = PAGE_BYTES.min(object_bytes - page * PAGE_BYTES) as usize;
    let mut state = (page + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(instance.0[0]);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

fn page_of(instance: Instance, object_bytes: u64, page: u64) -> Page {
    let bytes = content_of_page(instance, object_bytes, page);
    let crc32c = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
    Page { bytes, crc32c }
}

/// One answer: the pages left, and what goes wrong.
struct Answer {
    instance: Instance,
    object_bytes: u64,
    next: u64,
    end: u64,
    given: u64,
    fault: Option<Fault>,
    gate: watch::Receiver<u64>,
    pages_given: Arc<AtomicU64>,
    way: Way,
    /// When its first page was there.
    began: Option<Instant>,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Page, SourceError>> {
        if self.next == self.end {
            return None;
        }
        let next = self.next;
        self.gate.wait_for(|closed| next < *closed).await.expect("the origin outlives its answers");
        self.travel().await;
        let mut page = page_of(self.instance, self.object_bytes, self.next);
        match self.fault {
            Some(Fault::BreaksAfter(count)) if count == self.given => {
                self.next = self.end;
                return Some(Err(SourceError::broken("cut")));
            }
            Some(Fault::EndsAfter(count)) if count == self.given => return None,
            Some(Fault::SilentAfter(count)) if count == self.given => std::future::pending().await,
            Some(Fault::FlipsAfter(count)) if count == self.given => {
                let mut bytes = page.bytes.to_vec();
                bytes[7] ^= 1;
                page.bytes = bytes.into();
            }
            Some(Fault::ShortensAfter(count)) if count == self.given => {
                page.bytes.truncate(page.bytes.len() - 1);
                page.crc32c = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &page.bytes) as u32;
            }
            _ => {}
        }
        self.next += 1;
        self.given += 1;
        self.pages_given.fetch_add(1, Ordering::SeqCst);
        Some(Ok(page))
    }

    async fn travel(&mut self) {
        match self.began {
            None if self.way.round_trip.is_zero() => {}
            None => sleep(self.way.round_trip).await,
            Some(_) if self.way.page.is_zero() => {}
            Some(began) => {
                let pages = u32::try_from(self.given).expect("an answer has few pages");
                sleep_until(began + self.way.page * pages).await;
            }
        }
        self.began.get_or_insert_with(Instant::now);
    }
}

impl Source for Origin {
    fn origin(&self) -> &str {
        &self.name
    }

    fn pages(
        &self,
        instance: Instance,
        pages: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'_, Result<Pages, SourceError>> {
        assert_eq!(instance, self.instance);
        self.asked.lock().expect("not poisoned").push((pages.clone(), purpose));
        let fault = self.faults.lock().expect("not poisoned").pop_front();
        let answer = Answer {
            instance,
            object_bytes: self.object_bytes,
            next: pages.start,
            end: pages.end,
            given: 0,
            fault,
            gate: self.gate.subscribe(),
            pages_given: self.pages_given.clone(),
            way: self.way,
            began: None,
        };
        Box::pin(async move {
            match fault {
                Some(Fault::Gone) => Err(SourceError::Gone),
                Some(Fault::Busy) => Err(SourceError::Busy),
                Some(Fault::NeverAnswers) => std::future::pending().await,
                Some(Fault::Refuses) => Err(SourceError::broken("refused")),
                _ => {
                    let pages = stream::unfold(answer, |mut answer| async {
                        answer.next().await.map(|page| (page, answer))
                    });
                    Ok(Box::pin(pages) as Pages)
                }
            }
        })
    }
}
