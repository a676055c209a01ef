use super::*;

#[test]
fn the_presets_are_the_published_pools() {
    let hetero = Scenario::load("hetero").expect("a preset");
    let types: Vec<_> = hetero.each_node().map(|group| group.node_type.as_str()).collect();
    assert_eq!(types, ["1gpu", "4gpu-tp"]);
    let homogeneous = Scenario::load("homogeneous").expect("a preset");
    let background: Vec<_> = homogeneous.each_node().map(|group| group.background).collect();
    assert_eq!(background, [50, 50, 0, 0, 0]);
    assert_eq!(homogeneous.loads().len(), 10);
}

#[test]
fn all_presets_can_be_read_and_name_their_loads() {
    for (name, text) in PRESETS {
        let scenario = Scenario::parse(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!scenario.loads().is_empty(), "{name}");
    }
}

#[test]
fn a_file_that_is_wrong_says_where() {
    let node = "[[node]]\ntype = \"1gpu\"\n";
    let parse = |text: &str| Scenario::parse("x", &format!("about = \"\"\nrequests = 1\n{text}"));
    assert!(parse(node).is_ok());
    for (text, expected) in [
        ("[[node]]\ntype = \"2gpu\"\n".to_owned(), "4gpu-tp"),
        (format!("colour = 1\n{node}"), "colour"),
        (format!("policies = [\"tblb s9\"]\n{node}"), "s1_enhanced"),
        (format!("{node}speed = 0\n"), "speed"),
        (format!("{node}speculative = 0.5\n"), "speculative"),
        (format!("{node}[proxy]\nworkers = 0\n"), "worker"),
        (format!("{node}[workload]\nimages = 5\n"), "images"),
        (format!("{node}[workload]\nlengths = \"none\"\n"), "bimodal"),
        (format!("{node}[[event]]\nat = 1\nnode = 1\nkind = \"die\"\n"), "no node 1"),
        (format!("{node}[arrivals]\ncv = 0\n"), "cv"),
        (format!("rate = [-1]\n{node}"), "rate"),
        ("node = []".to_owned(), "no nodes"),
    ] {
        let error = parse(&text).expect_err(&text);
        assert!(error.contains(expected), "{error}");
    }
    let error = Scenario::load("no/such.toml").expect_err("no file");
    assert!(error.contains("homogeneous"), "{error}");
}

#[test]
fn the_node_of_four_gpus_is_about_half_as_fast_again() {
    let speeds: Vec<_> =
        Scenario::named("hetero").expect("a preset").each_node().map(NodeGroup::true_speed).collect();
    assert!((1.3..1.9).contains(&(speeds[1] / speeds[0])), "{speeds:?}");
}

#[test]
fn a_ramp_rises_and_a_crowd_comes_and_goes() {
    let arrivals = Arrivals {
        ramp: Some(Ramp { to: 3.0, over: 10.0 }),
        flash: Some(Flash { at: 20.0, lasts: 5.0, times: 4.0 }),
        ..Arrivals::default()
    };
    let factors = [0.0, 5.0, 10.0, 20.0, 24.9, 25.0].map(|at| arrivals.factor(at));
    assert_eq!(factors, [1.0, 2.0, 3.0, 12.0, 12.0, 3.0]);
}

#[test]
fn random_fleets_are_what_their_class_says() {
    for seed in 0..200 {
        let (fleet, load) = random_fleet(seed);
        assert_eq!(random_fleet(seed), (fleet.clone(), load));
        assert_eq!((fleet.check(), fleet.name.as_str()), (Ok(()), format!("fleet-{seed}").as_str()));
        let first = fleet.each_node().next().expect("a node").clone();
        let alike =
            fleet.each_node().all(|node| (&node.node_type, node.speed) == (&first.node_type, first.speed));
        let background = fleet.each_node().filter(|node| node.background > 0).count();
        let nodes = fleet.each_node().count();
        assert!((2..=32).contains(&nodes), "{nodes}");
        match Class::of(seed) {
            Class::Identical => assert!(alike && background == 0),
            Class::Background => assert!(alike && background > 0 && background < nodes),
            Class::Mild | Class::Wild => assert!(!alike),
        }
    }
}
