//! Reads the members of a tar archive from a stream.
//!
//! Reads v7, ustar, GNU tar, star and POSIX (pax) archives, with extended headers, and checks all numbers. Header
//! layouts are those of the `tar` crate; its iterator is not used, because it splits extended records at newlines,
//! which breaks capabilities and ACLs. Names are not checked here.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use tar::Header;

use super::header::{BLOCK, attributes, device, is_header, number, size_of};
use super::pax::Extended;
use super::sparse::{self, Map};
use crate::fs::copy::attributes::Attributes;

/// The longest name or extended header, in bytes: it is held in memory.
const HEADER_LIMIT: u64 = 8 << 20;
/// Limit of all names and extended headers of one member, and of all global ones, in bytes: they are held in memory.
const HEADERS_LIMIT: u64 = 16 << 20;

/// The type of a member.
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

/// A member of an archive, its data not read yet.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) attributes: Attributes,
    pub(super) device: (u32, u32),
    /// Names of owner and group; empty if the archive has none.
    pub(super) owner_names: (Vec<u8>, Vec<u8>),
    pub(super) acl_access: Option<String>,
    pub(super) acl_default: Option<String>,
    pub(super) left_out: Vec<&'static str>,
}

/// Iterates over an archive's members; between two calls of [`Members::next`] it reads the last one's data.
#[derive(Debug)]
pub(super) struct Members<R> {
    inner: R,
    data: u64,
    padding: u64,
    global: Extended,
    /// Bytes left of the limit of global headers.
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

    /// Returns the next member; `None` at the end mark, after which the rest is read and ignored.
    ///
    /// An archive without an end mark is cut short, as by a broken connection.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let mut extended = self.global.clone();
        let (mut long_name, mut long_target) = (None, None);
        let mut has_header = false;
        let mut headers_left = HEADERS_LIMIT;
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else {
                ensure!(!has_header, "the archive ends behind an extended header");
                io::copy(&mut self.inner, &mut io::sink()).context("reading the archive's end")?;
                return Ok(None);
            };
            let kind = header.as_old().linkflag[0];
            let size = size_of(&header)?;
            self.set_size(size)?;
            has_header = true;
            match kind {
                b'g' => self.global_left = take(self.global_left, size)?,
                b'L' | b'K' | b'x' | b'X' => headers_left = take(headers_left, size)?,
                _ => {}
            }
            match kind {
                b'L' => long_name = Some(self.long_text()?),
                b'K' => long_target = Some(self.long_text()?),
                b'x' | b'X' => extended.add(&self.read_header_data()?)?,
                b'g' => {
                    let records = self.read_header_data()?;
                    self.global.add(&records)?;
                    // Each member would copy them; no known program writes this.
                    ensure!(
                        self.global.has_no_attributes(),
                        "the archive has one set of extended attributes for all members, which netbe cannot read"
                    );
                    extended.add(&records)?;
                    has_header = false;
                }
                // A volume label.
                b'V' => has_header = false,
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
        self.set_size(size)?;
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

    /// Returns a member's type, and sets the size of its data.
    fn kind(
        &mut self,
        header: &Header,
        name: &[u8],
        size: u64,
        extended: &Extended,
    ) -> Result<Kind> {
        let kind = match header.as_old().linkflag[0] {
            // Before POSIX, a directory was a file whose name ends in a slash.
            0 | b'0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File(self.pax_map(size, extended)?),
            b'1' => {
                // Only POSIX archives may store data with a hard link; others have the file's size there.
                let has_data = extended.size.is_some();
                self.set_size(if has_data { size } else { 0 })?;
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
                "is of type {:?}, which netbe cannot read",
                char::from(other)
            ),
        };
        if !matches!(kind, Kind::File(_) | Kind::Directory) {
            self.set_size(0)?;
        }
        Ok(kind)
    }

    fn pax_map(&mut self, size: u64, extended: &Extended) -> Result<Option<Map>> {
        let sparse = &extended.sparse;
        let pieces = match sparse.version {
            Some((1, 0)) => sparse::leading_map(self)?,
            None | Some((0, _)) if sparse.mapped || sparse.version.is_some() => {
                sparse.pieces.clone()
            }
            None => return Ok(None),
            Some((major, minor)) => bail!("is sparse in an unknown format ({major}.{minor})"),
        };
        let file_size = sparse.size.context("is sparse without a size")?;
        // Format 1.0 has the map before the data.
        let stored = if sparse.version == Some((1, 0)) {
            self.data
        } else {
            size
        };
        Map::checked(pieces, file_size, stored).map(Some)
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
            sparse::check_count(&pieces)?;
            more = block.is_extended();
        }
        let file_size = number(&gnu.realsize).and_then(|n| u64::try_from(n).ok());
        Map::checked(pieces, file_size.context("has no size")?, size)
    }

    /// Reads a header block; `None` at the end mark.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let mut block = Vec::with_capacity(BLOCK);
        let read = self
            .inner
            .by_ref()
            .take(BLOCK as u64)
            .read_to_end(&mut block);
        ensure!(
            read.context("reading the archive")? == BLOCK,
            "the archive is cut short: its end mark is missing"
        );
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        ensure!(
            is_header(&block),
            "the archive is damaged: a header's checksum is wrong"
        );
        header.as_mut_bytes().copy_from_slice(&block);
        Ok(Some(header))
    }

    /// Sets the size of the data that follows, before any of it is read.
    fn set_size(&mut self, size: u64) -> Result<()> {
        let blocks = size.checked_next_multiple_of(BLOCK as u64);
        self.padding = blocks.context("a member's size is invalid")? - size;
        self.data = size;
        Ok(())
    }

    fn skip_data(&mut self) -> Result<()> {
        let headers_left = self.data.saturating_add(self.padding);
        let skipped = io::copy(&mut self.inner.by_ref().take(headers_left), &mut io::sink())
            .context("reading the archive")?;
        ensure!(
            skipped == headers_left,
            "the archive is cut short inside a member"
        );
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    fn read_header_data(&mut self) -> Result<Vec<u8>> {
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
        let mut bytes = self.read_header_data()?;
        if let Some(end) = bytes.iter().position(|b| *b == 0) {
            bytes.truncate(end);
        }
        Ok(bytes)
    }
}

/// Reads the data of the last member; an early end is an error.
impl<R: Read> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.data)
            .map_or(buf.len(), |headers_left| headers_left.min(buf.len()));
        if length == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buf[..length])?;
        if count == 0 {
            return Err(cut_short(&io::ErrorKind::UnexpectedEof.into()));
        }
        self.data -= count as u64;
        Ok(count)
    }
}

/// Subtracts a header's length from the limit.
fn take(headers_left: u64, size: u64) -> Result<u64> {
    headers_left
        .checked_sub(size)
        .context("the archive has too many extended headers")
}

fn cut_short(error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("the archive is cut short inside a member: {error}"),
    )
}
