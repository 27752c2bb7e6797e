//! The feature `cuda` builds, and the program is well-behaved where there is no driver.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::llvm;

/// Bindings for a newer CUDA can name functions that an older driver lacks.
const CUDA_VERSION: &str = "13000";

pub(crate) fn run(download: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Its own folder: the features of dependencies differ, and the usual build would be made anew after each check.
    let target = std::path::absolute(target.join("cuda"))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());

    let mut build = Command::new(cargo);
    build.current_dir(root).args(["build", "--locked", "--package", "kilobase", "--features", "cuda"]);
    build.arg("--target-dir").arg(&target);
    if env::var_os("CUDARC_CUDA_VERSION").is_none() {
        build.env("CUDARC_CUDA_VERSION", CUDA_VERSION);
    }
    if !download && let Some(data) = llvm::provide(root, &target)? {
        build.env("XDG_DATA_HOME", data);
    }
    let begun = Instant::now();
    let status = build.status().context("cannot run cargo")?;
    ensure!(status.success(), "the build with the feature `cuda` failed");
    println!("xtask: built with the feature `cuda` in {} s", begun.elapsed().as_secs());

    let program = target.join("debug").join(format!("kilobase{}", env::consts::EXE_SUFFIX));
    for device in ["auto", "cuda"] {
        look(&program, device)?;
    }
    Ok(())
}

/// Without a device the answer is exit code 3 and a sentence; anything else is a defect.
fn look(program: &Path, device: &str) -> Result<()> {
    println!("xtask: kilobase doctor --device {device}");
    let status = Command::new(program)
        .args(["doctor", "--device", device])
        .status()
        .with_context(|| program.display().to_string())?;
    match status.code() {
        Some(0) => Ok(()),
        Some(3) if device != "auto" => Ok(()),
        _ => bail!("doctor --device {device} ended with {status}"),
    }
}
