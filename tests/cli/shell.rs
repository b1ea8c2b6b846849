//! Completions for shells, and man pages.

use std::fs;

use crate::cli::Shell;

#[test]
fn every_shell_completes_commands_and_options() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = shell.run(&format!("completions {name}")).succeeds().stdout.clone();
        for word in ["n2n-gpu", "denoise", "recursive", "completions"] {
            assert!(script.contains(word), "{name}: {word}");
        }
        assert!(!script.contains("\\u{"), "{name}: escaped for a terminal");
        let json = shell.run(&format!("completions {name} --json")).json("shell script");
        assert_eq!(json["script"].as_str().unwrap(), script);
    }
    shell.run("completions csh").is_misused(&["csh", "bash"]);
}

#[test]
fn bash_completes_a_command() {
    let shell = Shell::new();
    fs::write(shell.path("script"), &shell.run("completions bash").succeeds().stdout).unwrap();
    let words =
        ". ./script; COMP_WORDS=(n2n-gpu denoise --recu); COMP_CWORD=2; _n2n__gpu n2n-gpu --recu denoise; echo ${COMPREPLY[@]}";
    let done = std::process::Command::new("bash").args(["-c", words]).current_dir(shell.path("")).output();
    let Ok(done) = done else { return crate::cli::left_out("completions of bash: there is no bash") };
    assert_eq!(String::from_utf8_lossy(&done.stdout), "--recursive\n", "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let shell = Shell::new();
    shell.run("man pages/man1").succeeds();
    let help = shell.run("--help").stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut expected: Vec<String> = commands.map(|name| format!("n2n-gpu-{name}.1")).chain(["n2n-gpu.1".into()]).collect();
    expected.sort();
    assert_eq!(shell.names("pages/man1"), expected);
    let page = fs::read_to_string(shell.path("pages/man1/n2n-gpu-denoise.1")).unwrap();
    assert!(page.contains(".TH n2n-gpu-denoise 1") && page.contains("recursive") && page.contains("shard"), "{page}");
    fs::write(shell.path("file"), "mine").unwrap();
    shell.run("man file").fails(&["file", "folder"]);
}
