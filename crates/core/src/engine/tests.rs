use super::*;
use crate::exposition::LINE_LIMIT;
use crate::fault::Fault;
use crate::load::Load;
use proptest::prelude::*;

// Taken from the engines themselves.
const VLLM_LOADED: &str = include_str!("../../corpus/vllm-0.32-loaded.prom");
const LLAMACPP_LOADED: &str = include_str!("../../corpus/llamacpp-loaded.prom");
// Written by hand; see `corpus`.
const SGLANG: &str = include_str!("../../corpus/sglang-documented.prom");

pub(super) const AUTO: Choice = Choice::Auto { remembered: None };

fn load(
    waiting: impl Into<Option<f64>>,
    running: impl Into<Option<f64>>,
    cache: impl Into<Option<f64>>,
) -> Load {
    Load { waiting: waiting.into(), running: running.into(), cache: cache.into(), closed: false }
}

pub(super) fn read_as(choice: Choice, body: &str) -> Result<Reading, Fault> {
    let mut scrape = Scrape::new(choice);
    scrape.feed(body.as_bytes())?;
    scrape.finish()
}

fn read(body: &str) -> Result<Reading, Fault> {
    read_as(AUTO, body)
}

/// Engine and load of a body without a flaw.
fn plain(body: &str) -> (&'static str, Load) {
    let reading = read(body).unwrap();
    assert_eq!(reading.flaw, None);
    (reading.engine.name, reading.load)
}

#[test]
fn every_engine_is_found_by_its_name_its_row_and_its_families() {
    for (row, &engine) in ALL.iter().enumerate() {
        assert_eq!(Engine::named(engine.name), Some(engine));
        assert_eq!(engine.index(), u8::try_from(row).ok());
        assert_eq!(Engine::from_index(row as u8), Some(engine));
        assert!(engine.path.starts_with('/'));
        if !engine.has_names() {
            continue;
        }
        let mut body = String::new();
        for signal in Signal::ALL {
            for family in engine.source(signal).families {
                let labels: Vec<_> =
                    family.select.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
                body += &format!("{}{{{}}} 0.5\n", family.name, labels.join(","));
            }
        }
        let reading = read(&body).unwrap();
        assert_eq!((reading.engine, reading.flaw), (engine, None));
        for signal in Signal::ALL {
            let families = engine.source(signal).families;
            let subtracted = engine.running_has_waiting && signal == Signal::Running;
            let value = families.first().map(|family| if subtracted { 0.0 } else { family.scale.apply(0.5) });
            assert_eq!(reading.load.get(signal), value, "{engine:?} {}", signal.name());
        }
    }
    assert_eq!(Engine::named("none"), None);
    assert_eq!(Engine::from_index(ALL.len() as u8), None);
}

#[test]
fn a_longer_name_is_another_family() {
    let body = "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 9\nvllm:num_requests_waiting{} 4\n\
                vllm:num_requests_waiting_by_reason{reason=\"deferred\"} 9\nvllm:num_requests_waitin 7\n";
    assert_eq!(plain(body), ("vllm", load(4.0, None, None)));
    assert_eq!(read("vllm:num_requests_waiting_by_reason 9\n"), Err(Fault::NoSeries));
}

#[test]
fn ranks_add_up_and_the_fullest_cache_counts() {
    let body = "vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4\n\
                vllm:num_requests_waiting{engine=\"0\"} 1\nvllm:num_requests_waiting{engine=\"1\"} 20\n\
                vllm:kv_cache_usage_perc{engine=\"0\"} 0.9\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.2\n";
    assert_eq!(plain(body), ("vllm", load(21.0, 7.0, 0.9)));
}

#[test]
fn old_and_ported_vllm() {
    for name in ["gpu_cache_usage_perc", "mlu_cache_usage_perc"] {
        let body =
            format!("vllm:{name}{{model_name=\"m\"}} 0.5\nvllm:num_requests_waiting{{model_name=\"m\"}} 2\n");
        assert_eq!(plain(&body), ("vllm", load(2.0, None, 0.5)));
    }
    let both = "vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.75\n";
    assert_eq!(plain(both).1.cache, Some(0.75));
    let unknown = "vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc NaN\n";
    assert_eq!(plain(unknown).1.cache, Some(0.5));
}

#[test]
fn sglang_with_priorities_counts_the_whole_queue_once() {
    let body = "sglang:num_queue_reqs{dp_rank=\"0\",priority=\"\"} 7\nsglang:num_queue_reqs{dp_rank=\"0\",priority=\"1\"} 3\n\
                sglang:num_queue_reqs{dp_rank=\"0\",priority=\"2\"} 4\nsglang:num_queue_reqs{dp_rank=\"1\",priority=\"\"} 5\n\
                sglang:num_queue_reqs{dp_rank=\"1\",priority=\"1\"} 5\n";
    assert_eq!(plain(body), ("sglang", load(12.0, None, None)));
    let parts = "sglang:num_queue_reqs{priority=\"1\"} 3\nsglang:num_queue_reqs{priority=\"2\"} 4\n";
    assert_eq!(plain(parts).1.waiting, Some(7.0));
}

#[test]
fn sglang_processes_that_share_requests_count_once() {
    let mut body = String::new();
    for (dp, tp, pp, queued) in [(0, 0, 0, 3), (0, 1, 0, 2), (0, 0, 1, 3), (1, 2, 0, 10), (1, 3, 0, 11)] {
        body += &format!(
            "sglang:num_queue_reqs{{dp_rank=\"{dp}\",tp_rank=\"{tp}\",pp_rank=\"{pp}\"}} {queued}\n"
        );
    }
    assert_eq!(plain(&body).1.waiting, Some(14.0));
}

#[test]
fn sglang_behind_its_router_has_another_prefix() {
    let body = SGLANG.replace("sglang:", "sglang_").replace("{engine", "{worker_addr=\"a\",engine")
        + "sglang_unknown 1\nsglang_num_queue_reqs{worker_addr=\"b\",tp_rank=\"0\"} 3\n";
    assert_eq!(plain(&body), ("sglang", load(20.0, 6.0, 0.28)));
}

#[test]
fn a_series_that_stands_there_twice_counts_once_by_the_larger_value() {
    let body = "vllm:num_requests_waiting{a=\"1\",b=\"2\"} 4\nvllm:num_requests_waiting{b=\"2\",a=\"1\",c=\"\"} 6\n\
                vllm:num_requests_waiting{a=\"1\",b=\"2\"} 5\nvllm:num_requests_waiting{a=\"2\",b=\"1\"} 1\n";
    assert_eq!(plain(body).1.waiting, Some(7.0));
}

#[test]
fn what_is_no_count_is_unknown_and_not_0() {
    for value in ["NaN", "nan", "+Inf", "-Inf", "1e400", "-1", "-0.5"] {
        let body = format!("vllm:num_requests_waiting {value}\nvllm:num_requests_running 2\n");
        let reading = read(&body).unwrap();
        assert_eq!((reading.load, reading.flaw), (load(None, 2.0, None), Some(Fault::NotANumber)), "{value}");
        assert_eq!(read(&format!("vllm:num_requests_waiting {value}\n")), Err(Fault::NotANumber));
    }
    // A rank that does not know: the sum of the others would be too small.
    let body = "vllm:num_requests_waiting{engine=\"0\"} NaN\nvllm:num_requests_waiting{engine=\"1\"} 3\n";
    assert_eq!(read(body), Err(Fault::NotANumber));
    let body = "vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\nvllm:kv_cache_usage_perc{engine=\"1\"} NaN\n";
    assert_eq!(read(body), Err(Fault::NotANumber));
    // Each a count, together none.
    let body =
        "vllm:num_requests_waiting{engine=\"0\"} 1e308\nvllm:num_requests_waiting{engine=\"1\"} 1e308\n";
    assert_eq!(read(body), Err(Fault::NotANumber));
}

#[test]
fn a_line_that_matters_and_cannot_be_read() {
    let reading = read("vllm:num_requests_waiting{a} 1\nvllm:num_requests_running 2\n").unwrap();
    assert_eq!((reading.load, reading.flaw), (load(None, 2.0, None), Some(Fault::Malformed)));
    assert_eq!(read("vllm:num_requests_waiting\n"), Err(Fault::Malformed));
    assert_eq!(plain("something{else 1\nvllm:num_requests_waiting 2\n").1.waiting, Some(2.0));
}

#[test]
fn a_cut_line_is_not_trusted_and_nor_is_its_family() {
    assert_eq!(read("vllm:num_requests_waiting 12"), Err(Fault::Cut));
    let ranks = "vllm:num_requests_running 1\nvllm:num_requests_waiting{engine=\"0\"} 3\nvllm:num_requests_waiting{en";
    let reading = read(ranks).unwrap();
    assert_eq!((reading.load, reading.flaw), (load(None, 1.0, None), Some(Fault::Cut)));
    let whole = "vllm:num_requests_waiting 3\nother 1\nothe";
    assert_eq!(plain(whole).1.waiting, Some(3.0));
}

#[test]
fn bodies_with_nothing_in_them() {
    assert_eq!(read(""), Err(Fault::Empty));
    assert_eq!(read("\n \r\n"), Err(Fault::Empty));
    assert_eq!(read("# TYPE a gauge\na 1\n"), Err(Fault::NoSeries));
    for html in [
        "<html>\n<body>Not found</body>\n",
        "<!doctype html><html><body>a chat page</body></html>",
        "\u{feff}<!-- a -->",
    ] {
        assert_eq!(read(html), Err(Fault::Html), "{html}");
    }
    for json in
        ["{\"detail\":\"Not Found\"}", "[{\"detail\":\"Not Found\"}]", "[]", " \n[\n]\n", "\"Not Found\""]
    {
        assert_eq!(read(json), Err(Fault::Json), "{json}");
    }
    assert_eq!(read("\u{1f}\u{8b}\u{8}\0\0\0"), Err(Fault::Binary));
    assert_eq!(read(&"x".repeat(LINE_LIMIT + 1)), Err(Fault::LineTooLong));
}

#[test]
fn openmetrics_ends_where_it_says() {
    let body = "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{} 3 1520879607.789\n\
                vllm:num_requests_running 2 # {trace_id=\"x\"} 9\n# EOF\nvllm:num_requests_waiting{} 8\n";
    assert_eq!(plain(body), ("vllm", load(3.0, 2.0, None)));
    let mut scrape = Scrape::new(AUTO);
    assert_eq!(scrape.feed(body.as_bytes()), Ok(Progress::Enough));
    assert_eq!(scrape.feed(b"\0"), Ok(Progress::Enough));
    assert_eq!(scrape.finish().unwrap().load.waiting, Some(3.0));
}

/// What a body says that HTTP's framing shows to be whole.
fn read_whole(body: &str) -> Result<Reading, Fault> {
    let mut scrape = Scrape::new(AUTO);
    scrape.feed(body.as_bytes())?;
    scrape.finish_whole()
}

#[test]
fn the_end_by_name_needs_no_line_end() {
    let body = "vllm:num_requests_running 7\nvllm:num_requests_waiting 2\n";
    for end in ["# EOF", "# EOF\r", "# EOF\n"] {
        let reading = read(&format!("{body}{end}")).unwrap();
        assert_eq!((reading.load, reading.flaw), (load(2.0, 7.0, None), None), "{end:?}");
    }
    for cut in ["#", "# EO", "# EOF of what"] {
        let reading = read(&format!("{body}{cut}")).unwrap();
        assert_eq!((reading.load, reading.flaw), (load(None, 7.0, None), Some(Fault::Cut)), "{cut}");
    }
}

#[test]
fn the_last_line_of_a_whole_body_needs_no_line_end() {
    let body = "vllm:num_requests_running 7\nvllm:num_requests_waiting 12";
    let reading = read_whole(body).unwrap();
    assert_eq!((reading.load, reading.flaw), (load(12.0, 7.0, None), None));
    assert_eq!(read_whole("vllm:num_requests_running"), Err(Fault::Malformed));
    assert_eq!(read_whole("what"), Err(Fault::NoSeries));
    assert_eq!(read_whole(""), Err(Fault::Empty));
    assert_eq!(read_whole(&format!("{body}\n")), read(&format!("{body}\n")));
}

#[test]
fn reading_stops_when_all_is_read() {
    let end = VLLM_LOADED.find("vllm:prefix_cache_queries_total{").unwrap();
    let end = end + VLLM_LOADED[end..].find('\n').unwrap() + 1;
    let mut scrape = Scrape::new(AUTO);
    assert_eq!(scrape.feed(&VLLM_LOADED.as_bytes()[..end - 1]), Ok(Progress::More));
    assert_eq!(scrape.feed(&VLLM_LOADED.as_bytes()[end - 1..end]), Ok(Progress::Enough));
    assert_eq!(scrape.finish().unwrap().load, load(4.0, 4.0, 0.4040404040404041));
}

#[test]
fn an_engine_that_is_named_is_the_only_one() {
    let (vllm, sglang) = (Engine::named("vllm").unwrap(), Engine::named("sglang").unwrap());
    assert_eq!(read_as(Choice::Named(vllm), VLLM_LOADED), read(VLLM_LOADED));
    assert_eq!(read_as(Choice::Named(sglang), VLLM_LOADED), Err(Fault::NoSeries));
}

#[test]
fn an_engine_is_remembered_while_anything_of_it_is_there() {
    let remembered = Choice::Auto { remembered: Engine::named("llamacpp") };
    assert_eq!(read_as(remembered, VLLM_LOADED).unwrap().engine.name, "vllm", "its names are gone");
    let both = format!("llamacpp:requests_deferred 5\n{VLLM_LOADED}");
    let reading = read_as(remembered, &both).unwrap();
    assert_eq!((reading.engine.name, reading.load), ("llamacpp", load(5.0, None, None)));
    assert_eq!(read(&both).unwrap().engine.name, "vllm", "more of it is there");
}

/// An engine with all that the tables can say and no engine here needs.
static TRICKY: Engine = Engine {
    waiting: Source::sum(&[Family {
        select: &[("type", "wait\"ing"), ("m", "a")],
        ..Family::named("requests")
    }]),
    running: Source {
        families: &[Family { select: &[("type", "running")], ..Family::named("requests") }],
        aggregate: Aggregate::Last,
    },
    cache: Source {
        families: &[Family { scale: Scale::Times(0.01), ..Family::named("cache") }],
        aggregate: Aggregate::Mean,
    },
    ..Engine::new("tricky", "")
};

#[test]
fn selectors_scales_and_aggregations() {
    let body = "requests{type=\"wait\\\"ing\",m=\"a\",v=\"1\"} 1\nrequests{m=\"a\",type=\"wait\\\"ing\",v=\"2\"} 2\n\
                requests{type=\"wait\\\"ing\",m=\"b\"} 4\nrequests{type=\"wait\\\"ing\"} 8\nrequests 16\n\
                requests{type=\"running\",m=\"a\"} 32\nrequests{type=\"running\",m=\"b\"} 64\nrequests{type=\"running\",m=\"a\"} 5\n\
                cache{m=\"a\"} 10\ncache{m=\"b\"} 90\n";
    let reading = read_as(Choice::Named(&TRICKY), body).unwrap();
    assert_eq!((reading.load, reading.flaw), (load(3.0, 32.0, 0.5), None));
    // Series are there, but none that is selected.
    let reading = read_as(Choice::Named(&TRICKY), "requests{type=\"running\"} 1\n").unwrap();
    assert_eq!((reading.load, reading.flaw), (load(None, 1.0, None), None));
    assert_eq!(read_as(Choice::Named(&TRICKY), "requests 1\n"), Err(Fault::NoSeries));
}

/// Lines of a made-up page: what is read, what looks like it, and dirt.
fn page() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("vllm:num_requests_waiting"),
        Just("vllm:num_requests_running"),
        Just("vllm:kv_cache_usage_perc"),
        Just("vllm:gpu_cache_usage_perc"),
        Just("vllm:num_requests_waiting_by_reason"),
        Just("sglang:num_queue_reqs"),
        Just("llamacpp:requests_deferred"),
        Just("other"),
    ];
    let labels =
        prop_oneof![Just(""), Just("{}"), Just("{engine=\"1\"}"), Just("{priority=\"\\\"\"}"), Just("{x")];
    let value =
        prop_oneof![6 => Just("1"), 1 => Just("NaN"), 1 => Just("1e400"), 1 => Just("x"), 1 => Just("\0")];
    let end = prop_oneof![9 => Just("\n"), 1 => Just("\r\n"), 1 => Just("")];
    let line = prop_oneof![
        9 => (name, labels, value, end).prop_map(|(name, labels, value, end)| format!("{name}{labels} {value}{end}")),
        1 => Just("# EOF\n".to_string()),
        1 => Just("# TYPE other gauge\n".to_string()),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat().into_bytes())
}

fn read_in_pieces(choice: Choice, body: &[u8], at: &[usize]) -> Result<Reading, Fault> {
    let mut at: Vec<_> = at.iter().map(|at| at % (body.len() + 1)).chain([0, body.len()]).collect();
    at.sort_unstable();
    let mut scrape = Scrape::new(choice);
    for ends in at.windows(2) {
        scrape.feed(&body[ends[0]..ends[1]])?;
    }
    scrape.finish()
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(AUTO),
        Just(Choice::Auto { remembered: Engine::named("llamacpp") }),
        Just(Choice::Named(Engine::named("vllm").unwrap())),
    ]
}

proptest! {
    #[test]
    fn chunks_do_not_matter(choice in choice(), body in page(), at: Vec<usize>) {
        prop_assert_eq!(read_in_pieces(choice, &body, &at), read_in_pieces(choice, &body, &[]));
    }

    #[test]
    fn chunks_of_a_real_page_do_not_matter(at in proptest::collection::vec(0..=VLLM_LOADED.len(), 0..40)) {
        let pieces = read_in_pieces(AUTO, VLLM_LOADED.as_bytes(), &at);
        prop_assert_eq!(pieces.unwrap().load, load(4.0, 4.0, 0.4040404040404041));
    }

    #[test]
    fn no_bytes_panic_and_a_reading_knows_something(choice in choice(), bytes: Vec<u8>, body in page()) {
        for body in [&bytes[..], &body[..], &[&body[..], &bytes[..]].concat()] {
            if let Ok(reading) = read_in_pieces(choice, body, &[]) {
                prop_assert!(!reading.load.is_unknown() || reading.engine.by_model);
                for value in Signal::ALL.into_iter().filter_map(|signal| reading.load.get(signal)) {
                    prop_assert!(value.is_finite() && value >= 0.0);
                }
            }
        }
    }

    #[test]
    fn a_real_page_that_is_cut_says_the_same_or_less(end in 0..LLAMACPP_LOADED.len()) {
        let whole = load(8.0, 4.0, None);
        if let Ok(reading) = read(&LLAMACPP_LOADED[..end]) {
            for signal in Signal::ALL {
                let value = reading.load.get(signal);
                prop_assert!(value.is_none() || value == whole.get(signal));
            }
        }
    }
}
