use brotli::enc::BrotliEncoderParams;
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Stream};

use super::Kind;
use crate::compress::zlib::Deflater;

/// Dictionaries of the presets of xz, as powers of two.
const PRESET_DICTIONARY: [u32; 10] = [18, 20, 21, 22, 22, 23, 23, 24, 25, 26];

/// A compressor that only its sizes are asked of. Its memory is used again where the library allows that.
pub struct Encoder {
    kind: Kind,
    level: u8,
    state: State,
    out: Vec<u8>,
}

enum State {
    Deflate(Deflater),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
    /// Nothing to keep.
    None,
}

impl Encoder {
    /// An encoder of a level that the format has.
    ///
    /// # Panics
    /// Where memory runs out.
    pub fn new(kind: Kind, level: u8) -> Self {
        let state = match kind {
            Kind::Gzip | Kind::Zlib => State::Deflate(Deflater::new(level)),
            Kind::Zstd => {
                let compressor = zstd::bulk::Compressor::new(i32::from(level));
                State::Zstd(Box::new(compressor.expect("levels were checked, and there is memory")))
            }
            Kind::Brotli | Kind::Xz | Kind::Bz2 => State::None,
        };
        Self { kind, level, state, out: Vec::new() }
    }

    /// Bytes of the compressed form, frame included.
    pub fn size(&mut self, bytes: &[u8]) -> u64 {
        match (&mut self.state, self.kind) {
            (State::Deflate(deflater), kind) => deflater.size(bytes) + kind.frame(),
            (State::Zstd(zstd), _) => {
                self.out.resize(zstd::zstd_safe::compress_bound(bytes.len()), 0);
                zstd.compress_to_buffer(bytes, &mut self.out[..]).expect("the buffer is large enough") as u64
            }
            (State::None, Kind::Brotli) => self.brotli(bytes),
            (State::None, Kind::Xz) => self.xz(bytes),
            (State::None, _) => self.bz2(bytes),
        }
    }

    fn brotli(&mut self, mut bytes: &[u8]) -> u64 {
        let params = BrotliEncoderParams { quality: i32::from(self.level), lgwin: 22, ..Default::default() };
        self.out.clear();
        brotli::BrotliCompress(&mut bytes, &mut self.out, &params).expect("memory is the only resource")
            as u64
    }

    fn xz(&mut self, bytes: &[u8]) -> u64 {
        let mut options = LzmaOptions::new_preset(u32::from(self.level)).expect("levels were checked");
        // A dictionary as large as the input sees as much as the preset's, and is faster to clear. Smaller ones than the
        // preset's only: the preset's own limit stays.
        let preset = 1_usize << PRESET_DICTIONARY[usize::from(self.level)];
        options.dict_size(bytes.len().next_power_of_two().clamp(1 << 16, preset) as u32);
        let filters = {
            let mut filters = Filters::new();
            filters.lzma2(&options);
            filters
        };
        let mut stream = Stream::new_stream_encoder(&filters, Check::Crc64).expect("the filter is one of xz");
        self.out.clear();
        self.out.reserve(bytes.len() + bytes.len() / 2 + 1024);
        let mut rest = bytes;
        loop {
            let before = stream.total_in();
            let status = stream.process_vec(rest, &mut self.out, Action::Finish).expect("input is in memory");
            rest = &rest[(stream.total_in() - before) as usize..];
            if matches!(status, liblzma::stream::Status::StreamEnd) {
                return stream.total_out();
            }
            self.out.reserve(1 << 16);
        }
    }

    fn bz2(&mut self, bytes: &[u8]) -> u64 {
        use bzip2::{Action, Compress, Compression, Status};
        // Beyond the block of the least level that holds the input, more memory changes nothing but the header's digit.
        let level = bytes.len().div_ceil(100_000 - 20).clamp(1, usize::from(self.level));
        let mut stream = Compress::new(Compression::new(level as u32), 0);
        self.out.clear();
        self.out.reserve(bytes.len() + bytes.len() / 50 + 1024);
        let mut rest = bytes;
        loop {
            let before = stream.total_in();
            let status = stream
                .compress_vec(rest, &mut self.out, Action::Finish)
                .expect("the sequence of calls is right");
            rest = &rest[(stream.total_in() - before) as usize..];
            if matches!(status, Status::StreamEnd) {
                return stream.total_out();
            }
            self.out.reserve(1 << 16);
        }
    }
}
