//! Reads the send streams of a stream's halves and data: verified and decompressed on another thread.
//!
//! Nothing is passed on before its frame's checksum is verified. The send streams are not parsed here.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::frame::invalid;
use super::{CHUNK, Part, Reader};
use crate::fs::threads;

/// The most chunks in the queue.
const AHEAD: usize = 2;

type Message = io::Result<(Part, Vec<u8>)>;

/// The rest of a stream, after its header.
#[derive(Debug)]
pub struct Arriving {
    messages: Receiver<Message>,
    ahead: Option<(Part, Vec<u8>)>,
    lengths: Vec<u64>,
}

/// One send stream: that of a half, or of data.
#[derive(Debug)]
pub struct Half<'a> {
    arriving: &'a mut Arriving,
    part: Part,
    chunk: io::Cursor<Vec<u8>>,
    length: u64,
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        self.arriving.lengths.push(self.length);
    }
}

/// Reads a stream after its header to its end, while `work` uses the halves.
///
/// Frames are read on another thread, which ends when `work` ends. Fails if that thread cannot be started.
pub fn unpack<R: Read + Send, T, E: From<io::Error>>(
    mut frames: Reader<R>,
    work: impl FnOnce(&mut Arriving) -> Result<T, E>,
) -> Result<T, E> {
    thread::scope(|scope| {
        let (messages, arriving) = sync_channel(AHEAD);
        threads::start_in(scope, move || read_frames(&mut frames, &messages))?;
        let mut arriving = Arriving {
            messages: arriving,
            ahead: None,
            lengths: Vec::new(),
        };
        work(&mut arriving)
    })
}

impl Arriving {
    /// Returns the send stream of a half; the root's must be read to its end before the boot's.
    pub fn half(&mut self, part: Part) -> Half<'_> {
        Half {
            arriving: self,
            part,
            chunk: io::Cursor::new(Vec::new()),
            length: 0,
        }
    }

    /// Returns the send stream of the data of a path, after the halves and the paths before it.
    ///
    /// # Errors
    /// If another one follows.
    pub fn data(&mut self, path: &str) -> io::Result<Half<'_>> {
        match self.next()? {
            Some((Part::Path, found)) if found == path.as_bytes() => Ok(self.half(Part::Data)),
            _ => Err(invalid(format!(
                "the stream does not have the data of {path}, which its head names"
            ))),
        }
    }

    /// Verifies the end of the stream and the lengths.
    ///
    /// # Errors
    /// If the stream does not end here, or was not read in full.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.next()? {
            Some((Part::Done, payload)) => {
                let lengths: Vec<u8> = self.lengths.iter().flat_map(|l| l.to_le_bytes()).collect();
                if payload.len() != lengths.len() {
                    return Err(invalid("the stream does not say how long it is"));
                }
                if payload != lengths {
                    return Err(invalid("the stream is not as long as it says"));
                }
            }
            _ => return Err(invalid("there is more in the stream than its head names")),
        }
        // After the last frame: the end of the stream, or an error.
        match self.messages.recv() {
            Ok(Err(e)) => Err(e),
            Ok(Ok(_)) => Err(invalid("there is something behind the stream's end")),
            Err(_) => Ok(()),
        }
    }

    fn next(&mut self) -> io::Result<Option<(Part, Vec<u8>)>> {
        match self.ahead.take() {
            Some(ahead) => Ok(Some(ahead)),
            None => self.messages.recv().ok().transpose(),
        }
    }
}

impl Read for Half<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(buf)?;
            if count > 0 || buf.is_empty() {
                return Ok(count);
            }
            match self.arriving.next()? {
                Some((part, chunk)) if part == self.part => {
                    self.length += chunk.len() as u64;
                    self.chunk = io::Cursor::new(chunk);
                }
                other => {
                    self.arriving.ahead = other;
                    return Ok(0);
                }
            }
        }
    }
}

fn read_frames<R: Read>(frames: &mut Reader<R>, messages: &SyncSender<Message>) {
    let mut payload = Vec::new();
    loop {
        let message = match frames.frame(&mut payload) {
            Ok(None) => return,
            Ok(Some(part @ (Part::Root | Part::Boot | Part::Data))) => {
                decompress(&payload).map(|c| (part, c))
            }
            Ok(Some(part)) => Ok((part, payload.clone())),
            Err(e) => Err(e),
        };
        let last = message.is_err();
        if messages.send(message).is_err() || last {
            return;
        }
    }
}

fn decompress(payload: &[u8]) -> io::Result<Vec<u8>> {
    let wrong = || invalid("the stream holds what cannot be decompressed");
    // A wrong claimed size only makes decompression fail; no more than a chunk is allocated.
    let chunk = zstd::bulk::decompress(payload, CHUNK).map_err(|_| wrong())?;
    match chunk.is_empty() {
        true => Err(wrong()),
        false => Ok(chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PLAIN, WITH_DATA, Writer, pack};
    use super::*;

    fn stream(root: &[u8], boot: &[u8], says: [u64; 2]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), PLAIN).unwrap();
        writer.frame(Part::Head, b"head").unwrap();
        let mut ticked = 0;
        let mut tick = |n| ticked += n;
        for (part, content) in [(Part::Root, root), (Part::Boot, boot)] {
            let length = pack(content, part, &mut writer, &mut tick).unwrap();
            assert_eq!(length, content.len() as u64);
        }
        assert_eq!(ticked, (root.len() + boot.len()) as u64);
        let done = says.map(u64::to_le_bytes).concat();
        writer.frame(Part::Done, &done).unwrap();
        writer.into_inner()
    }

    fn halves(bytes: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut reader = Reader::begin(bytes)?;
        reader.frame(&mut Vec::new())?;
        unpack(reader, |arriving| {
            let (mut root, mut boot) = (Vec::new(), Vec::new());
            arriving.half(Part::Root).read_to_end(&mut root)?;
            arriving.half(Part::Boot).read_to_end(&mut boot)?;
            arriving.finish()?;
            Ok((root, boot))
        })
    }

    #[test]
    fn halves_round_trip() {
        let long: Vec<u8> = (0..CHUNK as u32 * 5 + 17).map(|i| (i / 7) as u8).collect();
        for (root, boot) in [
            (&long[..], &b"short"[..]),
            (b"", &long[..CHUNK]),
            (&long[..CHUNK + 1], b""),
            (b"", b""),
        ] {
            let says = [root.len() as u64, boot.len() as u64];
            let bytes = stream(root, boot, says);
            let (r, b) = halves(&bytes).unwrap();
            assert!(r == root && b == boot);
            for wrong in [[says[0] + 1, says[1]], [says[0], says[1] + 1]] {
                assert!(halves(&stream(root, boot, wrong)).is_err());
            }
            assert!(halves(&bytes[..bytes.len() - 1]).is_err());
            assert!(halves(&[&bytes[..], b"\0"].concat()).is_err());
        }
    }

    #[test]
    fn data_comes_behind_the_halves_in_the_order_of_its_paths() {
        let frames = |version: u64, frames: &[(Part, &[u8])]| {
            let mut writer = Writer::begin(Vec::new(), version).unwrap();
            for (part, payload) in frames {
                writer.frame(*part, payload).unwrap();
            }
            writer.into_inner()
        };
        let read = |bytes: &[u8]| -> io::Result<Vec<u8>> {
            let mut reader = Reader::begin(bytes)?;
            reader.frame(&mut Vec::new())?;
            unpack(reader, |arriving| {
                let mut found = Vec::new();
                for part in [Part::Root, Part::Boot] {
                    arriving.half(part).read_to_end(&mut found)?;
                }
                for path in ["/home", "/srv"] {
                    arriving.data(path)?.read_to_end(&mut found)?;
                }
                arriving.finish().map(|()| found)
            })
        };
        let chunk = |content: &[u8]| zstd::encode_all(content, 3).unwrap();
        let (one, two) = (chunk(b"one"), chunk(b"two!"));
        let says =
            |lengths: &[u64]| -> Vec<u8> { lengths.iter().flat_map(|l| l.to_le_bytes()).collect() };
        let done = says(&[3, 0, 3, 4]);
        let (home, srv) = ((Part::Path, &b"/home"[..]), (Part::Path, &b"/srv"[..]));
        let head = (Part::Head, &b"head"[..]);
        let root = (Part::Root, &one[..]);
        let (first, second) = ((Part::Data, &one[..]), (Part::Data, &two[..]));
        let end = (Part::Done, &done[..]);
        let right = [head, root, home, first, srv, second, end];
        assert_eq!(read(&frames(WITH_DATA, &right)).unwrap(), b"oneonetwo!");
        assert!(read(&frames(PLAIN, &right)).is_err());
        let short = says(&[3, 0, 3]);
        let other = says(&[3, 0, 4, 3]);
        for wrong in [
            vec![head, root, srv, second, home, first, end],
            vec![head, root, first, home, srv, second, end],
            vec![head, home, first, root, srv, second, end],
            vec![head, root, home, first, end],
            vec![head, root, home, first, srv, second, srv, second, end],
            vec![head, root, home, first, srv, second, (Part::Done, &short)],
            vec![head, root, home, first, srv, second, (Part::Done, &other)],
        ] {
            assert!(read(&frames(WITH_DATA, &wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_frame_of_more_than_a_chunk_is_refused() {
        let bomb = zstd::encode_all(&vec![0; CHUNK + 1][..], 3).unwrap();
        let empty = zstd::encode_all(&b""[..], 3).unwrap();
        for payload in [&bomb[..], &empty, b"no zstd at all", b""] {
            let mut writer = Writer::begin(Vec::new(), PLAIN).unwrap();
            writer.frame(Part::Head, b"").unwrap();
            writer.frame(Part::Root, payload).unwrap();
            writer.frame(Part::Done, &[0; 16]).unwrap();
            let error = halves(&writer.into_inner()).unwrap_err().to_string();
            assert!(error.contains("decompressed"), "{error}");
        }
    }

    #[test]
    fn an_early_end_of_the_reader_ends_the_thread() {
        let bytes = stream(&vec![1; CHUNK * 9], b"", [0, 0]);
        let mut reader = Reader::begin(&bytes[..]).unwrap();
        reader.frame(&mut Vec::new()).unwrap();
        let ended: io::Result<()> = unpack(reader, |_| Err(io::Error::other("enough")));
        assert_eq!(ended.unwrap_err().to_string(), "enough");
    }
}
