//! `tblb-sim results`, on a plan of a few short runs.
#![allow(clippy::expect_used, reason = "a test fails by panicking; clippy knows only #[test] functions")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;

const PLAN: &str = r#"
seeds = 2
first_seed = 1
requests = 150
fleet_runs = 2
fleets = [4, 5, 6, 7]
policies = ["least_conn", "tblb least_work", "weighted_least_conn", "lmetric", "tblb s1_enhanced waiting=0.1 cache=0.9"]
stress_policies = ["least_conn", "tblb least_work", "lmetric"]
stresses = ["equal-2", "flash-crowd", "nonstreaming-70"]

[[pool]]
scenario = "DIRECTORY/hetero.toml"
rates = [10, 20, 1000]

[[pool]]
scenario = "DIRECTORY/homogeneous.toml"
rates = [10, 1000]
"#;

/// The pools with a load or two, before an nginx that starts with it.
const POOLS: [(&str, &str); 2] = [
    ("hetero.toml", "concurrency = [10, 50]\n[[node]]\ntype = \"1gpu\"\n[[node]]\ntype = \"4gpu-tp\"\n"),
    ("homogeneous.toml", "concurrency = [40]\n[[node]]\ntype = \"1gpu-homogeneous\"\ncount = 3\n"),
];

/// The files that come of the plan, by their names.
static PAGES: LazyLock<BTreeMap<String, String>> = LazyLock::new(files);

fn files() -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let plan = directory.join("plan.toml");
    let out = directory.join("out");
    for (name, text) in POOLS {
        let text = format!("about = \"\"\nrequests = 1\nwarmup = 0\n{text}");
        std::fs::write(directory.join(name), text).expect("written");
    }
    let text = PLAN.replace("DIRECTORY", directory.to_str().expect("text"));
    std::fs::write(&plan, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tblb-sim"));
    let output =
        command.arg("results").arg("--plan").arg(&plan).arg("--out").arg(&out).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let text = std::fs::read_to_string(entry.path()).expect("text");
        (entry.file_name().into_string().expect("text"), text)
    };
    std::fs::read_dir(&out).expect("a directory").map(read).collect()
}

#[test]
fn the_pages_are_whole_and_the_same_every_time() {
    let pages = &*PAGES;
    assert_eq!(*pages, files(), "the plan fixes all");

    let targets = &pages["targets.md"];
    assert!(targets.contains("| met |") || targets.contains("| **not met** |"), "{targets}");
    let goodput = targets.lines().find(|line| line.starts_with("| homogeneous, 90 %")).expect("a target");
    assert!(goodput.contains('±'), "10 a second are served as promised, 1000 are not: {goodput}");
    assert!(!targets.contains("| not simulated |"), "{targets}");

    assert!(pages["pools.md"].contains("## homogeneous") && pages["stress.md"].contains("| equal-2 200 |"));
    assert!(pages["policies.md"].contains("| `weighted_least_conn` |"));
    assert!(pages["fleets.md"].contains("| wild mix | 1 |") && pages["publication.md"].contains("(−16.5)"));
    assert!(pages.values().all(|text| !text.contains("NaN") && !text.contains("inf")));
}

#[test]
fn every_page_and_plot_that_a_page_names_is_there() {
    let pages = &*PAGES;
    let named: Vec<&str> = pages
        .values()
        .flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.starts_with("../"))
        .collect();
    assert!(named.iter().any(|name| name.ends_with(".svg")) && named.contains(&"targets.md"));
    for name in named {
        assert!(pages.contains_key(name), "{name}");
    }
    for (name, plot) in pages.iter().filter(|(name, _)| name.ends_with(".svg")) {
        assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"), "{name}");
        assert!(plot.contains("tblb least_work") && plot.contains('%'), "{name} has a legend and units");
    }
}
