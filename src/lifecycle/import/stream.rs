//! Importing a stream of `export`.
//!
//! The two halves are received into a stage; after the end of the stream is verified, they become read-only and the new
//! environment's base, and the environment is a snapshot of them. A bad stream leaves nothing behind. Not for the
//! format of the stream, nor for other sources.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};

use super::Request;
use super::data::Received;
use super::unpack::{Input, Progress};
use crate::btrfs::receive::{Origin, receive};
use crate::btrfs::subvolume;
use crate::fs::rooted::Tree;
use crate::fs::ticking::Ticking;
use crate::lifecycle::data::list;
use crate::pool::base::Base;
use crate::pool::data::DataPath;
use crate::pool::record::EnvRecord;
use crate::pool::{EnvId, Environment, Node, NodeName, Pool, layout, stage};
use crate::staged::{Content, Identity, StagedEnvironment};
use crate::stream::header::Header;
use crate::stream::{Arriving, Half, Part, Reader, unpack};

/// How much of a stream is read at once, in bytes.
const BUFFER: usize = 256 << 10;

/// A stream with its header.
pub(super) struct Sent {
    pub(super) header: Header,
    frames: Reader<Box<dyn Read + Send>>,
    meter: Meter,
    /// Set when no more of the stream is needed.
    enough: Arc<AtomicBool>,
    shown: String,
}

/// How much was read, of how much if known; in bytes.
#[derive(Debug, Clone)]
struct Meter {
    come: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Meter {
    fn show(&self, progress: &mut dyn Progress) {
        progress.advance(self.come.load(Ordering::Relaxed), self.total);
    }
}

/// The directories of the halves in the stage.
struct Places<'a> {
    /// The two received subvolumes.
    base: &'a Path,
    /// Copies of the base.
    since: Option<&'a Path>,
    /// The data, if it is imported.
    data: Option<&'a Received>,
}

impl Sent {
    /// Reads a stream's header.
    ///
    /// # Errors
    /// When it is damaged, or of a newer netbe.
    pub(super) fn open(input: Input) -> Result<Self> {
        let shown = input.shown();
        let reading = || format!("importing {shown}");
        let meter = Meter {
            come: Arc::default(),
            total: input.total,
        };
        let (content, enough) = input.into_patient();
        let come = Arc::clone(&meter.come);
        let metered = Ticking::new(content, move |count| {
            come.fetch_add(count, Ordering::Relaxed);
        });
        let content: Box<dyn Read + Send> = Box::new(BufReader::with_capacity(BUFFER, metered));
        let mut frames = Reader::begin(content).with_context(reading)?;
        let mut head = Vec::new();
        frames.frame(&mut head).with_context(reading)?;
        let header = Header::parse(&head).with_context(reading)?;
        Ok(Self {
            header,
            frames,
            meter,
            enough,
            shown,
        })
    }

    /// Returns the step of a dry run.
    pub(super) fn step(&self, pool: &Pool, request: &Request, name: &EnvId) -> Result<String> {
        let header = &self.header;
        let from = format!(
            "{}/{} of {}",
            header.node,
            header.name,
            header.exported.strftime("%F %R UTC")
        );
        Ok(match &header.since {
            None => format!("receive {from} as {name}"),
            Some(since) => {
                let (env, _) = header.base_in(pool, request.base_node(), since)?;
                format!("receive what changed to {from} since {env} as {name}")
            }
        })
    }

    /// Fills the halves; returns their content.
    pub(super) fn fill(
        self,
        pool: &Pool,
        request: &Request,
        staged: &StagedEnvironment,
        data: Option<&Received>,
        progress: &mut dyn Progress,
    ) -> Result<Content> {
        let header = self.header.clone();
        let base = staged.dir().join(layout::BASE);
        self.arrive(
            pool,
            request.base_node(),
            staged.dir(),
            &base,
            data,
            progress,
        )?;
        for (from, to) in [(layout::ROOT, staged.root()), (layout::BOOT, staged.boot())] {
            subvolume::snapshot(&base.join(from), &to)?;
        }
        let is_same_node = header.node == request.target.node;
        let mut record = identified(pool, &header, is_same_node, staged)?;
        if !request.description.is_empty() {
            record.description.clone_from(&request.description);
        }
        Ok(Content {
            record,
            before: header.record,
            identity: Identity::Same,
        })
    }

    /// Returns the note about data in the stream that is left out.
    pub(super) fn left(&self, request: &Request) -> Option<String> {
        let header = &self.header;
        (!request.data && !header.data.is_empty()).then(|| {
            format!(
                "the data of {} in the stream was left out: {}; import --data brings it along",
                header.node,
                list(&header.data)
            )
        })
    }

    /// Receives the stream's halves into `base`, read-only, and its data into `data`.
    fn arrive(
        self,
        pool: &Pool,
        base_node: &NodeName,
        dir: &Path,
        base: &Path,
        data: Option<&Received>,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let header = &self.header;
        let since = dir.join("since");
        if let Some(origin) = &header.since {
            let (env, found) = header.base_in(pool, base_node, origin)?;
            found
                .copy(&since)
                .with_context(|| format!("copying the base of {env}"))?;
        }
        let places = Places {
            base,
            since: header.since.is_some().then_some(since.as_path()),
            data,
        };
        Base::make_directory(base).with_context(|| format!("making {}", base.display()))?;
        progress.phase("Receiving");
        let (meter, enough) = (self.meter, self.enough);
        unpack(self.frames, |arriving| {
            let received = places.receive_all(arriving, &header.data, progress, &meter);
            // Also after a failure: the reading thread must not wait for more.
            enough.store(true, Ordering::Relaxed);
            received
        })
        .with_context(|| format!("importing {}", self.shown))?;
        if places.since.is_some() {
            stage::remove(&since)?;
        }
        // Dirty data, written later, would count as a change.
        subvolume::sync(dir).context("making the new files durable")?;
        for half in [layout::ROOT, layout::BOOT] {
            subvolume::make_read_only(&base.join(half))?;
        }
        Base::record(base, &header.id)
    }
}

impl Places<'_> {
    fn receive_all(
        &self,
        arriving: &mut Arriving,
        data: &[DataPath],
        progress: &mut dyn Progress,
        meter: &Meter,
    ) -> Result<()> {
        self.receive_half(layout::ROOT, arriving.half(Part::Root), progress, meter)?;
        self.receive_half(layout::BOOT, arriving.half(Part::Boot), progress, meter)?;
        for path in data {
            let data = arriving.data(path.as_str())?;
            let mut stream = Ticking::new(data, |_| meter.show(progress));
            match self.data.and_then(|data| data.place(path)) {
                Some(target) => {
                    subvolume::create(&target)?;
                    fill(&mut stream, &target, Origin::Empty)?;
                }
                // Data that is left out is still read, since the whole stream is verified.
                None => drop(io::copy(&mut stream, &mut io::sink())?),
            }
        }
        Ok(arriving.finish()?)
    }

    fn receive_half(
        &self,
        half: &str,
        stream: Half<'_>,
        progress: &mut dyn Progress,
        meter: &Meter,
    ) -> Result<()> {
        let target = self.base.join(half);
        let parent = match self.since {
            Some(since) => {
                let parent = since.join(half);
                subvolume::snapshot(&parent, &target)?;
                Some(Tree::open(&parent)?)
            }
            None => {
                subvolume::create(&target)?;
                None
            }
        };
        let mut stream = Ticking::new(stream, |_| meter.show(progress));
        let since = parent.as_ref().map_or(Origin::Empty, Origin::Parent);
        fill(&mut stream, &target, since)
    }
}

fn fill(stream: &mut impl Read, target: &Path, since: Origin<'_>) -> Result<()> {
    receive(stream, &Tree::open(target)?, since)
        .with_context(|| format!("writing {}", target.display()))
}

/// Returns the record of the environment: that of the stream if it is for the same node and not in the pool already,
/// else that of a copy.
fn identified(
    pool: &Pool,
    header: &Header,
    own: bool,
    staged: &StagedEnvironment,
) -> Result<EnvRecord> {
    if own && !may_be_here(pool, &header.record.uuid)? {
        // Its machine's disk is not part of the stream.
        return Ok(header.record.off_disk());
    }
    let uuid = staged.uuid()?;
    let mut record = header.record.derived(uuid, &header.node, &header.name);
    record.description.clone_from(&header.record.description);
    Ok(record)
}

/// Returns whether an environment of the pool has the same identity, or cannot be read.
fn may_be_here(pool: &Pool, uuid: &str) -> Result<bool> {
    let may_be = |env: &Environment| env.unread || env.uuid() == Some(uuid);
    let is_in = |node: &Node| {
        let envs = node.environments();
        envs.map_or(true, |envs| envs.iter().any(may_be))
    };
    Ok(pool.nodes()?.iter().any(is_in))
}
