//! The members of a tar archive, one after the other, from a stream.
//!
//! Reads what v7, ustar, GNU tar, star and POSIX (pax) writers write, extended headers applied and numbers
//! checked. The `tar` crate supplies the header layouts; its own iterator splits extended records at
//! newlines, which tears capabilities and access lists. Writes nothing, and believes no name.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use tar::Header;

use super::header::{BLOCK, attributes, device, is_header, number, size_of};
use super::pax::Extended;
use super::sparse::{self, Map};
use crate::fs::copy::attributes::Attributes;

/// The longest name or extended header that is read, in bytes: it is held in memory.
const HEADER_LIMIT: u64 = 8 << 20;
/// How long all names and extended headers of one member may be together, and all that are for every member, in bytes:
/// they are held in memory, however many each has.
const HEADERS_LIMIT: u64 = 16 << 20;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File(Option<Map>),
    Directory,
    Link,
    HardLink,
    CharacterDevice,
    BlockDevice,
    Pipe,
}

/// One member of an archive, its data still in the stream.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) attributes: Attributes,
    pub(super) device: (u32, u32),
    /// What the archive calls owner and group; empty where it does not say.
    pub(super) owner_names: (Vec<u8>, Vec<u8>),
    pub(super) acl_access: Option<String>,
    pub(super) acl_default: Option<String>,
    pub(super) left_out: Vec<&'static str>,
}

/// Reads an archive's members; between two calls of [`Members::next`] it is the data of the last one.
#[derive(Debug)]
pub(super) struct Members<R> {
    inner: R,
    data: u64,
    padding: u64,
    global: Extended,
    /// How long the headers for every member may still be.
    global_left: u64,
}

impl<R: Read> Members<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            data: 0,
            padding: 0,
            global: Extended::default(),
            global_left: HEADERS_LIMIT,
        }
    }

    /// Returns the next member; `None` at the end mark, behind which everything is read and ignored.
    ///
    /// An archive that ends without its mark is cut short: a broken connection looks like that.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let mut extended = self.global.clone();
        let (mut long_name, mut long_target) = (None, None);
        let mut described = false;
        let mut left = HEADERS_LIMIT;
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else {
                ensure!(!described, "the archive ends behind an extended header");
                io::copy(&mut self.inner, &mut io::sink()).context("reading the archive's end")?;
                return Ok(None);
            };
            let kind = header.as_old().linkflag[0];
            let size = size_of(&header)?;
            self.expect(size)?;
            described = true;
            match kind {
                b'g' => self.global_left = take(self.global_left, size)?,
                b'L' | b'K' | b'x' | b'X' => left = take(left, size)?,
                _ => {}
            }
            match kind {
                b'L' => long_name = Some(self.long_text()?),
                b'K' => long_target = Some(self.long_text()?),
                b'x' | b'X' => extended.add(&self.whole()?)?,
                b'g' => {
                    let records = self.whole()?;
                    self.global.add(&records)?;
                    // Every member would get a copy of them; no writer does this.
                    ensure!(
                        self.global.has_no_attributes(),
                        "the archive has one set of extended attributes for all members, which netbe cannot read"
                    );
                    extended.add(&records)?;
                    described = false;
                }
                // A label of the volume, nothing of the system.
                b'V' => described = false,
                _ => {
                    return self
                        .member(&header, extended, long_name, long_target)
                        .map(Some);
                }
            }
        }
    }

    fn member(
        &mut self,
        header: &Header,
        mut extended: Extended,
        long_name: Option<Vec<u8>>,
        long_target: Option<Vec<u8>>,
    ) -> Result<Member> {
        let name = extended
            .path
            .take()
            .or(long_name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = String::from_utf8_lossy(&name).into_owned();
        let target = extended
            .link
            .take()
            .or(long_target)
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        let size = extended.size.map_or_else(|| size_of(header), Ok)?;
        self.expect(size)?;
        let kind = self
            .kind(header, &name, size, &extended)
            .with_context(|| format!("archive member '{shown}'"))?;
        let attributes =
            attributes(header, &extended).with_context(|| format!("archive member '{shown}'"))?;
        Ok(Member {
            name,
            target,
            kind,
            attributes,
            device: device(header),
            owner_names: (
                header.username_bytes().unwrap_or_default().to_vec(),
                header.groupname_bytes().unwrap_or_default().to_vec(),
            ),
            acl_access: extended.acl_access,
            acl_default: extended.acl_default,
            left_out: extended.left_out,
        })
    }

    /// Decides what a member is and how much data of it follows.
    fn kind(
        &mut self,
        header: &Header,
        name: &[u8],
        size: u64,
        extended: &Extended,
    ) -> Result<Kind> {
        let kind = match header.as_old().linkflag[0] {
            // Before POSIX a directory was a file whose name ends so.
            0 | b'0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File(self.pax_map(size, extended)?),
            b'1' => {
                // Only POSIX archives repeat the data with a link; others leave the size of the file there.
                let repeated = extended.size.is_some();
                self.expect(if repeated { size } else { 0 })?;
                return Ok(Kind::HardLink);
            }
            b'2' => Kind::Link,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Pipe,
            b'S' => Kind::File(Some(self.gnu_map(header, size)?)),
            b'M' => bail!("the archive is one of several volumes; join them first"),
            other => bail!(
                "is of the kind {:?}, which netbe cannot read",
                char::from(other)
            ),
        };
        if !matches!(kind, Kind::File(_) | Kind::Directory) {
            self.expect(0)?;
        }
        Ok(kind)
    }

    fn pax_map(&mut self, size: u64, extended: &Extended) -> Result<Option<Map>> {
        let said = &extended.sparse;
        let pieces = match said.version {
            Some((1, 0)) => sparse::leading_map(self)?,
            None | Some((0, _)) if said.mapped || said.version.is_some() => said.pieces.clone(),
            None => return Ok(None),
            Some((major, minor)) => bail!("is sparse in a format ({major}.{minor}) not known"),
        };
        let whole = said.size.context("is sparse, but its size is not said")?;
        // The map itself stands in front of the data it describes.
        let stored = if said.version == Some((1, 0)) {
            self.data
        } else {
            size
        };
        Map::checked(pieces, whole, stored).map(Some)
    }

    fn gnu_map(&mut self, header: &Header, size: u64) -> Result<Map> {
        let gnu = header
            .as_gnu()
            .context("is sparse in a format that is not GNU tar's")?;
        let mut pieces = sparse::pieces(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            self.inner
                .read_exact(block.as_mut_bytes())
                .map_err(|e| cut_short(&e))?;
            pieces.extend(sparse::pieces(block.sparse())?);
            sparse::bounded(&pieces)?;
            more = block.is_extended();
        }
        let whole = number(&gnu.realsize).and_then(|n| u64::try_from(n).ok());
        Map::checked(pieces, whole.context("has no size")?, size)
    }

    /// Reads one header block; `None` at the end mark.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) => bail!("the archive is cut short: its end mark is missing"),
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("reading the archive"),
            }
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        ensure!(
            is_header(block),
            "the archive is damaged: a header's checksum is wrong"
        );
        Ok(Some(header))
    }

    /// Says how much data follows, before any of it was read.
    fn expect(&mut self, size: u64) -> Result<()> {
        let blocks = size.checked_next_multiple_of(BLOCK as u64);
        self.padding = blocks.context("a member's size makes no sense")? - size;
        self.data = size;
        Ok(())
    }

    fn skip_data(&mut self) -> Result<()> {
        let left = self.data.saturating_add(self.padding);
        let skipped = io::copy(&mut self.inner.by_ref().take(left), &mut io::sink())
            .context("reading the archive")?;
        ensure!(skipped == left, "the archive is cut short inside a member");
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    fn whole(&mut self) -> Result<Vec<u8>> {
        ensure!(
            self.data <= HEADER_LIMIT,
            "an extended header of the archive is longer than 8 MiB"
        );
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)
            .context("reading the archive")?;
        Ok(bytes)
    }

    fn long_text(&mut self) -> Result<Vec<u8>> {
        let mut bytes = self.whole()?;
        if let Some(end) = bytes.iter().position(|b| *b == 0) {
            bytes.truncate(end);
        }
        Ok(bytes)
    }
}

/// The data of the member last returned; an early end is an error, not an end.
impl<R: Read> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.data).map_or(buf.len(), |left| left.min(buf.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buf[..most])?;
        if count == 0 {
            return Err(cut_short(&io::ErrorKind::UnexpectedEof.into()));
        }
        self.data -= count as u64;
        Ok(count)
    }
}

/// Takes a header's length off what there may be of them.
fn take(left: u64, size: u64) -> Result<u64> {
    left.checked_sub(size)
        .context("the archive has more extended headers than anybody needs")
}

fn cut_short(error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("the archive is cut short inside a member: {error}"),
    )
}
