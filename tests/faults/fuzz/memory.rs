//! The memory and time of a case; a case that hangs ends the program with its name.
//!
//! Counted is what Rust's allocator gives the case's own thread. C libraries (zstd, liblzma) have allocators and limits
//! of their own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{HANG, timed};

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: isize) {
    // A thread that is ending has no counters any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator as it came, and its answer back; counting touches
// thread-locals without destructors, which neither allocates nor panics.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are those that this asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are those that this asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promises are those that this asks for.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promises are those that this asks for.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Cases that are watched by a thread of their own.
pub(super) struct Watched {
    /// When the case that runs began, in milliseconds since `epoch` and one more; 0 between cases.
    began: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    epoch: Instant,
}

impl Watched {
    pub(super) fn begin(target: &'static str, batch: u64) -> Self {
        let (began, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (epoch, theirs) = (Instant::now(), (began.clone(), over.clone()));
        std::thread::spawn(move || {
            while !theirs.1.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                let since = theirs.0.load(Ordering::Relaxed);
                let now = milliseconds(epoch);
                if since != 0 && u128::from(now.saturating_sub(since)) > HANG.as_millis() {
                    eprintln!("a case hangs: NETBE_FAULT=fuzz:{target}:{batch}");
                    // Nothing else ends a thread that hangs.
                    std::process::abort();
                }
            }
        });
        Self { began, over, epoch }
    }

    /// Runs a case; returns what it took of time, and at most of memory.
    pub(super) fn case<T>(&self, what: impl FnOnce() -> T) -> (T, Duration, usize) {
        let before = NOW.get();
        PEAK.set(before);
        self.began
            .store(milliseconds(self.epoch), Ordering::Relaxed);
        let (result, took) = timed(what);
        self.began.store(0, Ordering::Relaxed);
        let peak = usize::try_from(PEAK.get() - before).unwrap_or_default();
        (result, took, peak)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn milliseconds(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
