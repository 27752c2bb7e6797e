//! Which files of a directory hold the weights, and reading them as one.

use std::{collections::BTreeMap, path::Path};

use super::{Error, Weights, file::WeightFile, index::Index, pytorch, safetensors, tensor::Entry};

/// A way to store weights in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Safetensors,
    SafetensorsShards,
    Pytorch,
    PytorchShards,
}

/// Every way, best first.
pub(super) const SOURCES: [Source; 4] =
    [Source::Safetensors, Source::SafetensorsShards, Source::Pytorch, Source::PytorchShards];

impl Source {
    /// The file by which it is recognised.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Safetensors => "model.safetensors",
            Self::SafetensorsShards => "model.safetensors.index.json",
            Self::Pytorch => "pytorch_model.bin",
            Self::PytorchShards => "pytorch_model.bin.index.json",
        }
    }

    /// The index, if that is what it is recognised by.
    pub(super) fn index(self) -> Option<&'static str> {
        matches!(self, Self::SafetensorsShards | Self::PytorchShards).then(|| self.file_name())
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Safetensors | Self::SafetensorsShards => ".safetensors",
            Self::Pytorch | Self::PytorchShards => ".bin",
        }
    }

    /// Reads the index at `path`, which is that of this way.
    pub(super) fn read_index(self, path: &Path) -> Result<Index, Error> {
        Index::read(path, self.suffix())
    }

    fn read_entries(self, file: &WeightFile, number: usize) -> Result<Vec<(String, Entry)>, Error> {
        match self {
            Self::Safetensors | Self::SafetensorsShards => safetensors::read_entries(file, number),
            Self::Pytorch | Self::PytorchShards => pytorch::read_entries(file, number),
        }
    }
}

/// The best way for which `dir` has the file.
pub(super) fn find(dir: &Path) -> Option<Source> {
    SOURCES.into_iter().find(|source| dir.join(source.file_name()).exists())
}

/// Opens one safetensors file of any name.
pub(super) fn open_file(path: &Path) -> Result<Weights, Error> {
    let file = WeightFile::open(path)?;
    let entries = Source::Safetensors.read_entries(&file, 0)?.into_iter().collect();
    Ok(Weights::new(path, vec![file], entries))
}

/// Opens the weights in `dir`.
pub(super) fn open(dir: &Path) -> Result<Weights, Error> {
    let Some(source) = find(dir) else {
        let looked_for = SOURCES.iter().map(|source| source.file_name()).collect();
        return Err(Error::NotFound { path: dir.to_owned(), looked_for });
    };
    let path = dir.join(source.file_name());
    let mut files = Vec::new();
    let mut entries = BTreeMap::new();
    if source.index().is_some() {
        let index = source.read_index(&path)?;
        for shard in index.shards() {
            let file = WeightFile::open(&dir.join(shard))?;
            let found = source.read_entries(&file, files.len())?;
            index.check(shard, &found).map_err(|fault| Error::Index { path: path.clone(), fault })?;
            // The index has each name once, and the shard has what the index says, so that no name is replaced here.
            entries.extend(found);
            files.push(file);
        }
    } else {
        let file = WeightFile::open(&path)?;
        entries.extend(source.read_entries(&file, 0)?);
        files.push(file);
    }
    Ok(Weights::new(dir, files, entries))
}
