//! Whole runs.

use super::*;

fn scenario(name: &str) -> Scenario {
    Scenario::named(name).expect("a preset")
}

fn rule(text: &str) -> Rule {
    Rule::parse(text).expect("a policy")
}

const LOADS: [Load; 2] = [Load::Concurrency(30), Load::Rate(15.0)];

#[test]
fn every_request_ends_whole_and_once() {
    for name in ["hetero", "homogeneous"] {
        for load in LOADS {
            for text in ["tblb least_conn", "tblb least_work", "tblb s1", "round_robin"] {
                let mut numbers: Vec<_> = run(&scenario(name), load, &rule(text), 1, 300)
                    .records
                    .iter()
                    .map(|record| (record.number, record.whole))
                    .collect();
                numbers.sort_unstable();
                assert_eq!(
                    numbers,
                    (0..300).map(|number| (number, true)).collect::<Vec<_>>(),
                    "{name} {text}"
                );
            }
        }
    }
}

#[test]
fn the_seed_fixes_a_run() {
    for load in LOADS {
        let run = |seed| run(&scenario("homogeneous"), load, &rule("tblb least_work"), seed, 200);
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}

#[test]
fn all_policies_of_a_seed_get_the_same_requests() {
    for load in LOADS {
        let prompts = |text| {
            let outcome = run(&scenario("hetero"), load, &rule(text), 5, 300);
            let mut prompts: Vec<_> =
                outcome.records.iter().map(|record| (record.number, record.prompt)).collect();
            prompts.sort_unstable();
            prompts
        };
        assert_eq!(prompts("tblb least_conn"), prompts("random"));
    }
}

#[test]
fn a_closed_loop_keeps_its_concurrency() {
    let scenario = scenario("hetero");
    let plan = Plan::draw(&scenario, Load::Concurrency(7), 200, 1);
    let mut fleet = Fleet::new(&scenario, Load::Concurrency(7), &rule("least_conn"), 1, &plan);
    fleet.begin(Load::Concurrency(7));
    while let Some((at, what)) = fleet.agenda.pop() {
        fleet.now = at;
        match what {
            What::Node(node) => fleet.settle(node),
            What::Request => fleet.send(),
            _ => {}
        }
        let open = fleet.flights.len() - fleet.outcome.records.len();
        let conns: u64 = fleet.instances[0].peers.iter().map(|peer| peer.conns).sum();
        assert_eq!(conns, open as u64);
        // Those that just ended are followed by others at the same time.
        let due = fleet.agenda.pop().inspect(|next| fleet.agenda.push(next.0, next.1)).map(|next| next.0);
        if (7..200).contains(&fleet.flights.len()) && due.is_some_and(|due| due > at) {
            assert_eq!(open, 7);
        }
    }
    assert_eq!(fleet.outcome.records.len(), 200);
}

#[test]
fn equal_policies_give_equal_runs() {
    for load in LOADS {
        let run = |text| run(&scenario("hetero"), load, &rule(text), 2, 200);
        assert_eq!(run("least_conn"), run("tblb least_conn"));
    }
}
