//! What the shell and `man` want to know of the command: `completions` and `man`.

use clap::error::ErrorKind;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;

/// Print what makes a shell complete the words of this command
///
/// Put it where the shell looks: bash: ~/.local/share/bash-completion/completions/aiokv; zsh: _aiokv in
/// a directory of $fpath; fish: ~/.config/fish/completions/aiokv.fish
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print the man page of the command, or of a verb: `aiokv man get | man -l -`
#[derive(Args)]
pub(crate) struct Man {
    /// The verb
    verb: Option<String>,
}

impl Completions {
    pub(crate) fn text(&self, command: &mut Command) -> String {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, command, "aiokv", &mut text);
        String::from_utf8(text).expect("names and help are UTF-8")
    }
}

impl Man {
    pub(crate) fn text(&self, command: &mut Command) -> Result<String, clap::Error> {
        command.build();
        let page = match &self.verb {
            None => Page::new(command.clone()),
            Some(name) => match command.find_subcommand(name) {
                Some(verb) => Page::new(verb.clone()),
                None => {
                    let message = format!("`{name}` is no verb");
                    return Err(command.error(ErrorKind::InvalidValue, message));
                }
            },
        };
        let mut text = Vec::new();
        let page = page.source(concat!("aiokv ", env!("CARGO_PKG_VERSION")));
        page.render(&mut text).expect("a vector takes everything");
        Ok(String::from_utf8(text).expect("names and help are UTF-8"))
    }
}
