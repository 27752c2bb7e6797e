//! LLVM for the build of CubeCL.
//!
//! Its build script wants a bundle of a version of its own, and fetches it over the network. The distribution's LLVM of
//! the major version before does as well: all functions in use are there. It is laid out as the bundle would be, in the
//! target folder, which the build script takes for the user's data folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

const BUNDLER: &str = "tracel-llvm-bundler";
/// The build script looks for this file in the bundle.
const INSTALLED: &str = ".tracel-llvm-installed";
/// Where distributions put their LLVM, the best first.
const PLACES: [&str; 2] = ["/usr/lib/llvm-23", "/usr/lib/llvm-22"];

const MISSING: &str = "\
the feature `cuda` needs LLVM to build, and there is none here. Either
  install the distribution's: apt-get install llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev libxml2-dev
  or, with a network, let the build fetch a bundle: cargo xtask check-cuda --download";

/// The folder to give to the build as `XDG_DATA_HOME`, or nothing where the bundle is installed already.
pub(crate) fn provide(root: &Path, target: &Path) -> Result<Option<PathBuf>> {
    let bundle = Path::new("tracel").join(format!("tracel-llvm-{}", bundle_version(root)?));
    if user_data().is_some_and(|data| data.join(&bundle).join(INSTALLED).exists()) {
        return Ok(None);
    }
    let Some(llvm) = PLACES.into_iter().map(Path::new).find(|place| is_complete(place)) else {
        bail!("{MISSING}");
    };
    let data = target.join("llvm");
    lay_out(llvm, &data.join(bundle))?;
    println!("xtask: LLVM of {}", llvm.display());
    Ok(Some(data))
}

/// The bundle's version is that of the crate which asks for it.
fn bundle_version(root: &Path) -> Result<String> {
    let path = root.join("Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    version_in(&lock, BUNDLER).with_context(|| format!("Cargo.lock has no {BUNDLER}"))
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    Some(lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned())
}

fn user_data() -> Option<PathBuf> {
    let set = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")))
}

fn is_complete(llvm: &Path) -> bool {
    ["bin/llvm-config", "lib/libLLVMCore.a", "lib/libPolly.a"].iter().all(|file| llvm.join(file).exists())
}

#[cfg(unix)]
fn lay_out(llvm: &Path, bundle: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let bin = bundle.join("bin");
    fs::create_dir_all(&bin).with_context(|| bin.display().to_string())?;
    for part in ["lib", "include"] {
        let link = bundle.join(part);
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).with_context(|| link.display().to_string())?;
        }
        symlink(llvm.join(part), &link).with_context(|| link.display().to_string())?;
    }
    // The distribution's tool names some libraries by their path, which the build script cannot read.
    let config = bin.join("llvm-config");
    let script = format!(
        "#!/bin/sh\n{}/bin/llvm-config \"$@\" | sed -E 's#/usr/lib/[^ ]*/lib([a-z0-9]+)\\.so#-l\\1#g'\n",
        llvm.display()
    );
    fs::write(&config, script).with_context(|| config.display().to_string())?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o755))?;
    let works = Command::new(&config).arg("--version").output().context("cannot run llvm-config")?;
    ensure!(works.status.success(), "{} does not run", config.display());
    // The build script looks at the age of this file: written once, or each check would build all anew.
    let installed = bundle.join(INSTALLED);
    if !installed.exists() {
        fs::write(&installed, "").with_context(|| installed.display().to_string())?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn lay_out(_: &Path, _: &Path) -> Result<()> {
    bail!("the distribution's LLVM can be used on Unix only; run cargo xtask check-cuda --download")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_line_after_the_name() {
        let lock =
            "[[package]]\nname = \"a\"\nversion = \"1\"\n\n[[package]]\nname = \"b\"\nversion = \"2-3\"\n";
        assert_eq!(version_in(lock, "b").as_deref(), Some("2-3"));
        assert_eq!(version_in(lock, "c"), None);
    }
}
