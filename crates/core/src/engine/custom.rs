//! Names that a user gives.

use super::{ALL, Aggregate, Engine, Family, Scale, Source};
use crate::load::Signal;

/// No engine in particular: what is read is what the user names, and nothing else.
pub(super) static CUSTOM: Engine = Engine::new("custom", "the names that `tblb_metrics_signal` gives");

/// Where a user says that a signal is: tried before the families that the engine's table has for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// The signal.
    pub signal: Signal,
    /// The name of the family, to the letter.
    pub name: String,
    /// Labels, by name and value, that a series must have to count; of an empty value, that it must not have.
    pub select: Vec<(String, String)>,
    /// How its series become one number; None: as those of the signal do otherwise.
    pub aggregate: Option<Aggregate>,
    /// What the value is multiplied by; None: what is known of that name, else 1.
    pub scale: Option<f64>,
}

impl Custom {
    /// How its series become one number: as a user says, else waiting and running are summed and the fullest cache
    /// counts.
    pub(super) fn aggregate(&self) -> Aggregate {
        let usual = match self.signal {
            Signal::Waiting | Signal::Running => Source::sum(&[]),
            Signal::Cache => Source::max(&[]),
        };
        self.aggregate.unwrap_or(usual.aggregate)
    }

    /// What an engine's table knows of the name: which of its labels tell copies apart stays true whoever names it.
    pub(super) fn known(&self) -> Family {
        let sources = ALL.iter().map(|engine| engine.source(self.signal));
        let known = sources.flat_map(|source| source.families).find(|family| family.name == self.name);
        let family = known.copied().unwrap_or(Family::named(""));
        Family { scale: self.scale.map_or(family.scale, Scale::Times), ..family }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Block;
    use crate::engine::{Progress, Reading, Scrape};
    use crate::fault::Fault;

    /// What a body says where these directives stand, and whether it was read to its end.
    fn read(directives: &str, body: &str) -> Result<(Reading, bool), Fault> {
        let block = Block::parse(&format!("tblb; {directives}")).unwrap();
        let mut scrape = Scrape::of(block.lookup(), None);
        let pieces = body.split_inclusive('\n');
        let stops = pieces.map(|line| scrape.feed(line.as_bytes())).any(|read| read == Ok(Progress::Enough));
        scrape.finish().map(|reading| (reading, !stops))
    }

    fn signals(directives: &str, body: &str) -> (&'static str, [Option<f64>; 3]) {
        let (reading, _) = read(directives, body).unwrap();
        assert_eq!(reading.flaw, None);
        (reading.engine.name, Signal::ALL.map(|signal| reading.load.get(signal)))
    }

    const VLLM: &str = "vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 5\n\
                        vllm:num_requests_waiting{engine=\"0\"} 8\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
                        vllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n";

    #[test]
    fn names_of_the_user_come_before_those_of_the_engine() {
        let body = format!("my_queue{{kind=\"a\"}} 1\nmy_queue{{kind=\"b\"}} 2\n{VLLM}");
        let both = [Some(3.0), Some(8.0), Some(0.75)];
        assert_eq!(signals("tblb_metrics_signal waiting my_queue", &body), ("vllm", both));
        let selected = r#"tblb_metrics_signal waiting my_queue{kind="b"} scale=10"#;
        assert_eq!(signals(selected, &body).1[0], Some(20.0));
        // In their order, and those of the engine where none is there.
        let two = "tblb_metrics_signal waiting other; tblb_metrics_signal waiting my_queue";
        assert_eq!(signals(two, &body).1[0], Some(3.0));
        assert_eq!(signals("tblb_metrics_signal waiting other", &body).1[0], Some(8.0));
    }

    #[test]
    fn the_user_says_how_ranks_become_one() {
        let running = |how| {
            let text = format!("tblb_metrics_signal running vllm:num_requests_running aggregate={how}");
            signals(&text, VLLM).1[1]
        };
        assert_eq!(["sum", "max", "mean", "last"].map(running), [8.0, 5.0, 4.0, 5.0].map(Some));
        let cache = "tblb_metrics_signal cache vllm:kv_cache_usage_perc aggregate=mean";
        assert_eq!(signals(cache, VLLM), ("vllm", [Some(8.0), Some(8.0), Some(0.5)]));
    }

    #[test]
    fn what_is_known_of_a_name_stays_true() {
        let body = "sglang:num_queue_reqs{dp_rank=\"0\",tp_rank=\"0\"} 4\nsglang:num_queue_reqs{dp_rank=\"0\",tp_rank=\"1\"} 4\n\
                    sglang:num_queue_reqs{dp_rank=\"1\",tp_rank=\"2\"} 8\nnpu_cache_usage_perc 50\n";
        let mean = "tblb_metrics_signal waiting sglang:num_queue_reqs aggregate=mean";
        assert_eq!(signals(mean, body).1[0], Some(6.0));
        let cache =
            |scale| signals(&format!("tblb_metrics_signal cache npu_cache_usage_perc {scale}"), body).1[2];
        assert_eq!([cache(""), cache("scale=0.02")], [Some(0.5), Some(1.0)]);
    }

    #[test]
    fn an_empty_label_is_one_that_is_not_there() {
        let body = "q{a=\"\",b=\"1\"} 1\nq{b=\"1\"} 2\nq{a=\"1\",b=\"1\"} 4\n";
        let text = r#"tblb_metrics engine=custom; tblb_metrics_signal waiting q{a="",b="1"}"#;
        assert_eq!(signals(text, body).1[0], Some(2.0), "the same series twice, by the larger value");
    }

    #[test]
    fn a_body_of_no_engine_is_custom() {
        let body = "q 1\nr 2\nz 3\n";
        let text = "tblb_metrics_signal waiting q; tblb_metrics_signal running r";
        assert_eq!(signals(text, body), ("custom", [Some(1.0), Some(2.0), None]));
        assert_eq!(read("", body), Err(Fault::NoSeries));
        // An engine's names may follow the user's. Where the user says that there is none, reading stops early.
        let all = format!("{text}; tblb_metrics_signal cache c");
        assert_eq!(signals(&all, &format!("c 0.5\n{body}{VLLM}")).0, "vllm");
        assert!(read(&all, &format!("c 0.5\n{body}")).unwrap().1);
        let custom = format!("tblb_metrics engine=custom; {text}");
        assert!(!read(&custom, body).unwrap().1);
        assert_eq!(signals(&custom, VLLM.replace("vllm:num_requests_waiting", "q").as_str()).0, "custom");
    }
}
