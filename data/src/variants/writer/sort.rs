//! Sorting of lines in bounded memory: runs that fit are sorted and set aside in files, which are then merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of lines and keys that are sorted at once; the vectors that hold them may have room for twice as much.
pub(super) const MEMORY: usize = 128 << 20;

/// What lines are sorted by; lines of one key stay in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) contig: u32,
    pub(super) position: u64,
}

/// Takes texts in any order and writes them sorted.
pub(super) struct Sorter {
    folder: PathBuf,
    memory: usize,
    /// Of the texts at hand: key, and where the text lies.
    keys: Vec<(Key, usize, usize)>,
    text: Vec<u8>,
    runs: Vec<File>,
}

impl Sorter {
    /// Temporary files go to the folder of `path`, and vanish with the process.
    pub(super) fn new(path: &Path, memory: usize) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { folder: folder.to_owned(), memory, keys: Vec::new(), text: Vec::new(), runs: Vec::new() }
    }

    pub(super) fn push(&mut self, key: Key, text: &[u8]) -> io::Result<()> {
        let size = self.text.len() + text.len() + (self.keys.len() + 1) * size_of::<(Key, usize, usize)>();
        if size > self.memory && !self.keys.is_empty() {
            self.set_aside()?;
        }
        let start = self.text.len();
        self.text.extend_from_slice(text);
        self.keys.push((key, start, self.text.len()));
        Ok(())
    }

    /// Writes all texts, sorted.
    pub(super) fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        // Sorting is stable, so that runs need no numbers: an earlier run has the earlier lines.
        self.keys.sort_by_key(|&(key, ..)| key);
        if self.runs.is_empty() {
            return self.keys.iter().try_for_each(|&(_, start, end)| out.write_all(&self.text[start..end]));
        }
        self.set_aside()?;
        let mut runs = self.runs.into_iter().map(Run::open).collect::<io::Result<Vec<_>>>()?;
        let mut heads = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next()?.map(|key| Reverse((key, number))));
        }
        while let Some(Reverse((_, number))) = heads.pop() {
            out.write_all(&runs[number].text)?;
            heads.extend(runs[number].next()?.map(|key| Reverse((key, number))));
        }
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<()> {
        self.keys.sort_by_key(|&(key, ..)| key);
        let mut run = BufWriter::with_capacity(1 << 16, tempfile::tempfile_in(&self.folder)?);
        for &(key, start, end) in &self.keys {
            run.write_all(&key.contig.to_le_bytes())?;
            run.write_all(&key.position.to_le_bytes())?;
            run.write_all(&(end - start).to_le_bytes())?;
            run.write_all(&self.text[start..end])?;
        }
        self.runs.push(run.into_inner().map_err(io::IntoInnerError::into_error)?);
        self.keys.clear();
        self.text.clear();
        Ok(())
    }
}

/// A sorted run, read from its first line to its last.
struct Run {
    file: BufReader<File>,
    left: u64,
    text: Vec<u8>,
}

impl Run {
    fn open(mut file: File) -> io::Result<Self> {
        let left = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file: BufReader::with_capacity(1 << 16, file), left, text: Vec::new() })
    }

    /// Reads the next text; gives its key.
    fn next(&mut self) -> io::Result<Option<Key>> {
        if self.left == 0 {
            return Ok(None);
        }
        let contig = u32::from_le_bytes(self.array()?);
        let position = u64::from_le_bytes(self.array()?);
        let length = usize::from_le_bytes(self.array()?);
        self.text.resize(length, 0);
        self.file.read_exact(&mut self.text)?;
        self.left -= (4 + 8 + size_of::<usize>() + length) as u64;
        Ok(Some(Key { contig, position }))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.file.read_exact(&mut array)?;
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sorted_as_a_stable_sort_in_memory_would(
            lines in prop::collection::vec((0u32..3, 0u64..6, "[a-z]{0,9}"), 0..60),
            memory in 1usize..2000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(&folder.path().join("out"), memory);
            let mut expected: Vec<_> = lines
                .iter()
                .enumerate()
                .map(|(number, (contig, position, text))| (*contig, *position, format!("{number}{text}\n")))
                .collect();
            for (contig, position, text) in &expected {
                sorter.push(Key { contig: *contig, position: *position }, text.as_bytes()).unwrap();
            }
            let mut out = Vec::new();
            sorter.write(&mut out).unwrap();
            expected.sort_by_key(|&(contig, position, _)| (contig, position));
            let expected: String = expected.into_iter().map(|(.., text)| text).collect();
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
