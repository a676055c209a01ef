//! What must not be found afterwards.

use std::fs;
use std::io;
use std::path::Path;

/// Levels of nginx's log that tell of something that must not happen.
const GRAVE: [&str; 3] = ["[alert]", "[crit]", "[emerg]"];

/// The lines of nginx's log at crit, alert and emerg, and those of panics. A line that names one of the `killed`
/// processes is left out: nginx reports at alert that one was killed, and what it tidies up after it.
pub fn grave<'a>(log: &'a str, killed: &[u32]) -> Vec<&'a str> {
    let grave = |line: &&str| GRAVE.iter().any(|level| line.contains(level)) || line.contains("panicked");
    let of_killed = |line: &&str| {
        let mut words = line.split(|character: char| !character.is_ascii_digit());
        words.any(|word| word.parse().is_ok_and(|pid| killed.contains(&pid)))
            && (line.contains("exited on signal 9") || line.contains("was locked by"))
    };
    log.lines().filter(grave).filter(|line| !of_killed(line)).collect()
}

/// The files in `directory` that are not empty, each as its text: what a checker that watches nginx wrote there.
///
/// # Errors
/// They cannot be read.
pub fn files(directory: &Path) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let text = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
        if !text.trim().is_empty() {
            texts.push(text);
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_process_that_was_killed_is_no_finding() {
        let log = "1 [notice] 7#7: signal 17 (SIGCHLD) received from 12\n\
            2 [alert] 7#7: worker process 12 exited on signal 9\n\
            3 [alert] 7#7: worker process 13 exited on signal 9\n\
            4 [alert] 7#7: worker process 12 exited on signal 11 (core dumped)\n\
            5 [error] 14#14: *3 connect() failed (111: Connection refused)\n\
            6 [crit] 12#12: *4 SSL_write() failed\n\
            thread 'tblb-0' panicked at src/lib.rs\n";
        let grave: Vec<_> = grave(log, &[12]).iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(grave, ["3", "4", "6", "thread"]);
    }

    #[test]
    fn a_file_with_something_in_it_is_a_finding() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("valgrind.1"), "\n").expect("written");
        assert_eq!(files(directory.path()).expect("read"), Vec::<String>::new());
        fs::write(directory.path().join("valgrind.2"), "Invalid read").expect("written");
        assert_eq!(files(directory.path()).expect("read"), ["Invalid read"]);
    }
}
