//! Splits a send stream into frames: reads, compresses and writes concurrently.
//!
//! The calling thread writes, so write errors are returned directly; other threads read and compress one chunk each.
//! Frames are in the order of the send stream, whatever the number of processors.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{CHUNK, Part, Writer};
use crate::fs::{interrupt, threads};

/// zstd's default compression level.
const LEVEL: i32 = 3;

/// More threads are of no use: the kernel makes a send stream with one.
const WORKERS_MAX: usize = 8;

/// A compressed chunk, and its original length.
struct Compressed {
    bytes: Vec<u8>,
    length: u64,
}

/// Writes a send stream as frames of one type; returns its length in bytes.
///
/// `tick` receives the number of its bytes in each frame. On an early end, `content` is dropped at once.
pub fn pack<W: Write>(
    content: impl Read + Send,
    part: Part,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> io::Result<u64> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(WORKERS_MAX);
    thread::scope(|scope| {
        let mut jobs = Vec::new();
        let mut results = Vec::new();
        for _ in 0..workers {
            let (job, chunks) = sync_channel(1);
            let (done, result) = sync_channel(1);
            threads::start_in(scope, move || compress_all(&chunks, &done))?;
            jobs.push(job);
            results.push(result);
        }
        let reader = threads::start_in(scope, move || read_all(content, &jobs))?;
        let written = write_all(&results, part, out, tick);
        // After a write error, the other threads end at their next send.
        drop(results);
        let read = reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // After a write error, the reader's error is a consequence.
        let length = written?;
        read.map(|()| length)
    })
}

/// Reads chunks, and distributes them in turn.
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

fn compress_all(chunks: &Receiver<Vec<u8>>, done: &SyncSender<io::Result<Compressed>>) {
    let mut compressor = match zstd::bulk::Compressor::new(LEVEL) {
        Ok(compressor) => compressor,
        Err(e) => return done.send(Err(e)).unwrap_or_default(),
    };
    for chunk in chunks {
        let compressed = compressor.compress(&chunk).map(|bytes| Compressed {
            bytes,
            length: chunk.len() as u64,
        });
        if done.send(compressed).is_err() {
            return;
        }
    }
}

/// Writes the compressed chunks in the order of distribution.
fn write_all<W: Write>(
    results: &[Receiver<io::Result<Compressed>>],
    part: Part,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> io::Result<u64> {
    let mut length = 0;
    for result in results.iter().cycle() {
        // The first thread without a result would have had the next chunk.
        let Ok(compressed) = result.recv() else {
            break;
        };
        interrupt::check_io()?;
        let compressed = compressed?;
        out.frame(part, &compressed.bytes)?;
        length += compressed.length;
        tick(compressed.length);
    }
    Ok(length)
}
