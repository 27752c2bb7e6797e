//! Tasks of development that cargo has no command for: `cargo xtask <task>`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers, whose output is its work"
)]

use std::process::ExitCode;

mod check_cuda;
mod llvm;

const HELP: &str = "\
Usage: cargo xtask <TASK>

Tasks:
  check-cuda [--download]  Build with the feature `cuda`, for which no CUDA toolkit is needed, and see what the
                           program says of this machine. The build needs LLVM: that of the distribution is used
                           where there is one; with --download, the build fetches a bundle from its makers";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["check-cuda"] => check_cuda::run(false),
        ["check-cuda", "--download"] => check_cuda::run(true),
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
