//! The program under test.

use assert_cmd::Command;

/// The program with nothing of the environment that changes what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::cargo_bin("kilobase").expect("the program is built for its tests");
    for name in ["KILOBASE_DEVICE", "KILOBASE_THREADS", "KILOBASE_OFFLINE"] {
        command.env_remove(name);
    }
    command
}
