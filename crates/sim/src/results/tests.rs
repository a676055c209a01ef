use super::*;

#[test]
fn the_published_plan_has_fresh_seeds_four_classes_alike_and_all_scores() {
    let plan = Plan::published().expect("a plan");
    assert_eq!((plan.seeds, plan.fleets.len()), (20, 120));
    assert!(plan.seeds().iter().chain(&plan.fleets).all(|seed| (9001..1_000_000).contains(seed)));
    for (class, name) in Class::ALL {
        assert_eq!(plan.fleets.iter().filter(|seed| Class::of(**seed) == class).count(), 30, "{name}");
    }
    let scores = tblb_core::algorithm::ALL
        .iter()
        .map(|algorithm| algorithm.name)
        .filter(|name| name.starts_with("s1") || name.starts_with("s2"));
    for score in scores {
        let named = |text: &String| text.split(' ').nth(1) == Some(score);
        assert!(plan.policies.iter().any(named), "{score}");
    }
    for method in crate::policy::METHODS {
        assert!(plan.policies.iter().any(|text| text == method.name), "{}", method.name);
    }
    let stressed = |scenario: &str| plan.stresses().iter().any(|name| name == scenario);
    assert!(stressed("images") && !stressed("hetero"));
}

#[test]
fn a_plan_that_is_wrong_says_where() {
    let plan = |policies: &str, pool: &str, rates: &str| {
        Plan::parse(&format!(
            "seeds = 1\nfirst_seed = 1\nfleet_runs = 1\nfleets = []\npolicies = {policies}\n\
             stress_policies = [\"least_conn\", \"tblb\"]\n[[pool]]\nscenario = \"{pool}\"\nrates = {rates}\n"
        ))
    };
    let two = "[\"least_conn\", \"tblb\"]";
    assert!(plan(two, "hetero", "[1, 2]").is_ok());
    for (policies, pool, rates, expected) in [
        ("[\"least_conn\"]", "hetero", "[]", "two policies"),
        ("[\"least_conn\", \"best\"]", "hetero", "[]", "random_two_least_conn"),
        (two, "nowhere", "[]", "homogeneous"),
        (two, "hetero", "[2, 1]", "ascend"),
    ] {
        let error = plan(policies, pool, rates).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
}
