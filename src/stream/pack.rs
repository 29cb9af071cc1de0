//! A send stream, cut into frames: read, compressed and written at the same time.
//!
//! The calling thread writes, so that its caller's errors are its own; others read and compress, each chunk by
//! itself. Their order is that of the send stream, and the result the same for any number of processors.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{CHUNK, Part, Writer};
use crate::fs::{interrupt, threads};

/// How hard zstd tries: its own default.
const LEVEL: i32 = 3;

/// More than this many at once bring nothing: the kernel makes a send stream with one.
const MOST: usize = 8;

/// One chunk, compressed, and how long it was before.
struct Packed {
    bytes: Vec<u8>,
    length: u64,
}

/// Writes all of a send stream as frames of one part; returns its length in bytes.
///
/// `tick` is told how many bytes of it went into each frame. When this ends early, `content` is dropped at once.
pub fn pack<W: Write>(
    content: impl Read + Send,
    part: Part,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> io::Result<u64> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST);
    thread::scope(|scope| {
        let mut jobs = Vec::new();
        let mut results = Vec::new();
        for _ in 0..workers {
            let (job, waiting) = sync_channel(1);
            let (done, result) = sync_channel(1);
            threads::start_in(scope, move || compress_all(&waiting, &done))?;
            jobs.push(job);
            results.push(result);
        }
        let reader = threads::start_in(scope, move || read_all(content, &jobs))?;
        let written = write_all(&results, part, out, tick);
        // Where writing failed, the others find out that nobody takes what they make.
        drop(results);
        let read = reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // Where writing failed, reading only failed to go on.
        let length = written?;
        read.map(|()| length)
    })
}

/// Cuts a stream into chunks, and deals them out in turn.
fn read_all(mut content: impl Read, jobs: &[SyncSender<Vec<u8>>]) -> io::Result<()> {
    for job in jobs.iter().cycle() {
        let mut chunk = Vec::with_capacity(CHUNK);
        content
            .by_ref()
            .take(CHUNK as u64)
            .read_to_end(&mut chunk)?;
        if chunk.is_empty() || job.send(chunk).is_err() {
            break;
        }
    }
    Ok(())
}

fn compress_all(waiting: &Receiver<Vec<u8>>, done: &SyncSender<io::Result<Packed>>) {
    let mut compressor = match zstd::bulk::Compressor::new(LEVEL) {
        Ok(compressor) => compressor,
        Err(e) => return done.send(Err(e)).unwrap_or_default(),
    };
    for chunk in waiting {
        let packed = compressor.compress(&chunk).map(|bytes| Packed {
            bytes,
            length: chunk.len() as u64,
        });
        if done.send(packed).is_err() {
            return;
        }
    }
}

/// Collects the chunks in the order they were dealt, and writes them.
fn write_all<W: Write>(
    results: &[Receiver<io::Result<Packed>>],
    part: Part,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> io::Result<u64> {
    let mut length = 0;
    for result in results.iter().cycle() {
        // The first that has nothing any more would have had the next one.
        let Ok(packed) = result.recv() else {
            break;
        };
        interrupt::check_io()?;
        let packed = packed?;
        out.frame(part, &packed.bytes)?;
        length += packed.length;
        tick(packed.length);
    }
    Ok(length)
}
