//! The binary of the command `aiokv`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aiokv_cli::run(std::env::args_os()).into()
}
