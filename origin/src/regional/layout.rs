//! What an instance is made of: its segments, found by offset, and the rows they are kept in.

use std::ops::{Bound, Range};

use super::db::{ReadRows, WriteRows};
use super::failure::Failure;
use super::keys;
use super::rows::{Content, FileRow, InstanceRow, RUN_PAGES, RUN_SEGMENTS, Reads, Segment, decode, encode};
use super::table::Table;
use crate::instance::Instance;

/// What `instance` is made of.
pub(super) fn instance<R: ReadRows + ?Sized>(rows: &R, instance: &Instance) -> Result<InstanceRow, Failure> {
    rows.decoded(Table::Instances, instance.as_bytes())?
        .ok_or_else(|| Failure::Corrupt(format!("instance {instance} is missing")))
}

/// The segments of `range` of `instance`, cut at its ends, in order; they cover it. Reads only the runs it needs.
pub(super) fn segments<R: ReadRows + ?Sized>(
    rows: &R,
    instance: &Instance,
    range: Range<u64>,
) -> Result<Vec<Segment>, Failure> {
    let row = self::instance(rows, instance)?;
    let cut = match row.content {
        Content::Segments(all) => cut(all, 0, &range),
        Content::Inline(_) => return Err(Failure::Corrupt(format!("instance {instance} has no segments"))),
        Content::Runs => {
            let mut cut_runs = Vec::new();
            for run in runs(rows, instance, &range)? {
                let (start, segments) = run?;
                cut_runs.extend(cut(segments, start, &range));
            }
            cut_runs
        }
    };
    let covered: u64 = cut.iter().map(|segment| segment.bytes).sum();
    if covered != range.end.saturating_sub(range.start) {
        return Err(Failure::Corrupt(format!(
            "instance {instance}: segments of {range:?} cover {covered} bytes"
        )));
    }
    Ok(cut)
}

/// Every segment of an instance as it is written, empty ones too; none for bytes in the row.
pub(super) fn all_segments<R: ReadRows + ?Sized>(
    rows: &R,
    instance: &Instance,
    row: &InstanceRow,
) -> Result<Vec<Segment>, Failure> {
    match &row.content {
        Content::Inline(_) => Ok(Vec::new()),
        Content::Segments(segments) => Ok(segments.clone()),
        Content::Runs => all_runs(rows, instance),
    }
}

/// Every segment in the runs under the name of an instance, whether it is there or only these are left of it.
pub(super) fn all_runs<R: ReadRows + ?Sized>(rows: &R, instance: &Instance) -> Result<Vec<Segment>, Failure> {
    let runs = runs(rows, instance, &(0..u64::MAX))?.collect::<Result<Vec<_>, _>>()?;
    Ok(runs.into_iter().flat_map(|(_, segments)| segments).collect())
}

/// Segments, under their row key.
type KeyedRun = (Vec<u8>, Vec<Segment>);

/// The first run of segments under the name of an instance, with its row key; `None` when there is none.
pub(super) fn first_run<R: ReadRows + ?Sized>(
    rows: &R,
    instance: &Instance,
) -> Result<Option<KeyedRun>, Failure> {
    let (from, to) = (keys::run(instance, 0), keys::run(instance, u64::MAX));
    let range = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    let Some((key, value)) = rows.rows(Table::Segments, range)?.next().transpose()? else { return Ok(None) };
    Ok(Some((key, decode(&value)?)))
}

/// Writes the rows of a new instance that is made of `segments`, without counting them in their files.
pub(super) fn put(
    rows: &mut dyn WriteRows,
    instance: &Instance,
    segments: Vec<Segment>,
) -> Result<(), Failure> {
    let bytes = segments.iter().map(|segment| segment.bytes).sum();
    let content = if segments.len() <= RUN_SEGMENTS {
        Content::Segments(segments)
    } else {
        let mut start = 0;
        for run in segments.chunks(RUN_SEGMENTS) {
            put_run(rows, &keys::run(instance, start), run)?;
            start += run.iter().map(|segment| segment.bytes).sum::<u64>();
        }
        Content::Runs
    };
    rows.put_row(Table::Instances, instance.as_bytes(), &encode(&InstanceRow { bytes, content }))
}

/// Puts a run of segments; none at all is no row.
pub(super) fn put_run(rows: &mut dyn WriteRows, key: &[u8], segments: &[Segment]) -> Result<(), Failure> {
    match segments {
        [] => rows.delete_row(Table::Segments, key),
        segments => rows.put_row(Table::Segments, key, &encode(&segments)),
    }
}

/// Removes the rows of an instance, without counting its segments in their files.
pub(super) fn delete(
    rows: &mut dyn WriteRows,
    instance: &Instance,
    row: &InstanceRow,
) -> Result<(), Failure> {
    if matches!(row.content, Content::Runs) {
        let starts = runs(rows, instance, &(0..row.bytes))?
            .map(|run| run.map(|(start, _)| start))
            .collect::<Result<Vec<_>, _>>()?;
        for start in starts {
            rows.delete_row(Table::Segments, &keys::run(instance, start))?;
        }
    }
    rows.delete_row(Table::Instances, instance.as_bytes())
}

/// The page sums of `pages` of a file; `pages` lies within the file.
pub(super) fn sums<R: ReadRows + ?Sized>(
    rows: &R,
    file: &Instance,
    pages: Range<u64>,
) -> Result<Vec<u32>, Failure> {
    let missing = || Failure::Corrupt(format!("page sums of file {file}"));
    let mut sums = Vec::with_capacity((pages.end - pages.start) as usize);
    let mut page = pages.start;
    while page < pages.end {
        let run = page / RUN_PAGES * RUN_PAGES;
        let packed = rows.row(Table::Sums, &keys::run(file, run))?.ok_or_else(missing)?;
        let until = pages.end.min(run + RUN_PAGES);
        let within = (page - run) as usize * 4..(until - run) as usize * 4;
        let (found, _) = packed.get(within).ok_or_else(missing)?.as_chunks::<4>();
        sums.extend(found.iter().map(|sum| u32::from_le_bytes(*sum)));
        page = until;
    }
    Ok(sums)
}

/// The row of a file.
pub(super) fn file<R: ReadRows + ?Sized>(rows: &R, file: &Instance) -> Result<FileRow, Failure> {
    rows.decoded(Table::Files, file.as_bytes())?
        .ok_or_else(|| Failure::Corrupt(format!("the row of file {file} is missing")))
}

/// Slices that follow each other in one file, made one.
pub(super) fn merge(segments: Vec<Segment>) -> Vec<Segment> {
    let mut merged: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments.into_iter().filter(|segment| segment.bytes > 0) {
        match merged.last_mut() {
            Some(last) if last.file == segment.file && last.offset + last.bytes == segment.offset => {
                last.bytes += segment.bytes;
            }
            _ => merged.push(segment),
        }
    }
    merged
}

type Run = (u64, Vec<Segment>);

fn runs<'a, R: ReadRows + ?Sized>(
    rows: &'a R,
    instance: &Instance,
    range: &Range<u64>,
) -> Result<impl Iterator<Item = Result<Run, Failure>> + 'a, Failure> {
    let (zero, start, end) =
        (keys::run(instance, 0), keys::run(instance, range.start), keys::run(instance, range.end));
    let first = rows
        .rows(Table::Segments, (Bound::Included(zero.as_slice()), Bound::Included(start.as_slice())))?
        .next_back()
        .transpose()?;
    let from = first.map_or(zero, |(key, _)| key);
    let found =
        rows.rows(Table::Segments, (Bound::Included(from.as_slice()), Bound::Excluded(end.as_slice())))?;
    Ok(found.map(|row| {
        let (key, value) = row?;
        Ok((keys::run_start(&key)?, decode(&value)?))
    }))
}

fn cut(segments: Vec<Segment>, start: u64, range: &Range<u64>) -> Vec<Segment> {
    let mut at = start;
    let mut inside = Vec::new();
    for Segment { file, offset, bytes } in segments {
        let (from, to) = (at.max(range.start), (at + bytes).min(range.end));
        if from < to {
            inside.push(Segment { file, offset: offset + (from - at), bytes: to - from });
        }
        at += bytes;
    }
    inside
}
