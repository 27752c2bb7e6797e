//! Which micro-kernel this processor runs.

use pulp::Arch;
use std::fmt;
use std::sync::LazyLock;

/// What weights are stored as and multiplied in. Sums are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Weights rounded to bf16. Where the processor multiplies bf16 (AMX, AVX-512-BF16) the other operand is rounded
    /// too; elsewhere it stays f32.
    Bf16,
}

/// A micro-kernel: how its operands lie in memory and what multiplies them.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// f32 on a vector unit: AVX-512, AVX2 with FMA, NEON, or plain code.
    F32(Arch),
    /// bf16 weights widened to f32 a panel at a time, then as [`Kernel::F32`].
    Widened(Arch),
    /// `vdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(pulp::x86::V4),
    /// `tdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Amx(pulp::x86::V4),
}

impl Kernel {
    /// The fastest that this processor has.
    pub fn best(precision: Precision) -> Self {
        *Self::all(precision).last().expect("plain code is always there")
    }

    /// All that this processor has, slowest first.
    pub fn all(precision: Precision) -> &'static [Self] {
        static F32: LazyLock<Vec<Kernel>> = LazyLock::new(|| archs().into_iter().map(Kernel::F32).collect());
        static BF16: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
            #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "x86 has more"))]
            let mut all: Vec<_> = archs().into_iter().map(Kernel::Widened).collect();
            #[cfg(target_arch = "x86_64")]
            if let Some(v4) = pulp::x86::V4::try_new() {
                if crate::bf16::converts() {
                    all.push(Kernel::Avx512Bf16(v4));
                }
                if crate::amx::available() && crate::bf16::converts() {
                    all.push(Kernel::Amx(v4));
                }
            }
            all
        });
        match precision {
            Precision::F32 => &F32,
            Precision::Bf16 => &BF16,
        }
    }

    /// What its weights are rounded to.
    pub fn precision(self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            _ => Precision::Bf16,
        }
    }

    /// All that tells how weights lie: those of one layout can be multiplied by the same micro-kernel.
    pub(super) fn layout(self) -> impl PartialEq + fmt::Debug {
        (self.precision(), self.columns(), self.group(), self.depth_multiple())
    }

    /// Columns of a panel of packed weights.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::F32(arch) | Self::Widened(arch) => crate::micro::columns(arch),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) | Self::Amx(_) => 32,
        }
    }

    /// Consecutive weights of one column that lie side by side.
    pub(super) fn group(self) -> usize {
        match self {
            Self::F32(_) | Self::Widened(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) | Self::Amx(_) => 2,
        }
    }

    /// Rows of the largest tile, which blocks of rows should be whole numbers of.
    pub(super) fn tile_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => crate::amx::ROWS,
            _ => 12,
        }
    }

    /// Rows that one thread works on, a multiple of the tile's height. Packed rows should stay in the second cache level;
    /// weights are read anew for each block, and where products are fast that is what takes the time.
    pub(super) fn block_rows(self) -> usize {
        match self {
            Self::F32(_) | Self::Widened(_) => 192,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) | Self::Amx(_) => 576,
        }
    }

    /// The depth is padded with zeros to a multiple of this.
    pub(super) fn depth_multiple(self) -> usize {
        match self {
            Self::F32(_) | Self::Widened(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) | Self::Amx(_) => 32,
        }
    }
}

fn archs() -> Vec<Arch> {
    let mut all = vec![Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all.extend(pulp::x86::V4::try_new().map(Arch::V4));
    }
    #[cfg(target_arch = "aarch64")]
    all.extend(pulp::aarch64::Neon::try_new().map(Arch::Neon));
    all
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arch = |arch| match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => "neon",
            _ => "portable",
        };
        match *self {
            Self::F32(a) => f.write_str(arch(a)),
            Self::Widened(a) => write!(f, "{} after widening", arch(a)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) => f.write_str("avx512_bf16"),
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => f.write_str("amx_bf16"),
        }
    }
}
