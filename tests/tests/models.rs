//! Models: which server gets a request by the model that it asks for, and what becomes of one that no server has.

use serde_json::{Value, json};
use tblb_tests::client::{Answer, Connection};
use tblb_tests::config::{Config, upstream};
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Mood, Node, whole};

/// Polled so often that a test does not wait for long, and given time to answer on a busy machine.
const POLLED: &str = "zone llm 64k; tblb_metrics interval=50ms timeout=5s stale=30s;";

/// Where XInference reports.
const STATISTICS: &str = "/v1/cluster/load-statistics";

/// Has the engines' lists of models decide.
const LISTED: &str = "tblb_model $http_x_model;";

/// The answer of an XInference that serves these models, each with how busy it is.
fn xinference(models: &[(&str, f64)]) -> Vec<u8> {
    let item = |(name, utilization): &(&str, f64)| json!({"model_id": format!("{name}-0"), "model_name": name, "throughput_utilization": utilization});
    let list: Vec<_> = models.iter().map(item).collect();
    whole(200, &json!({"code": 200, "data": {"count": list.len(), "model_metrics": list}}).to_string())
}

/// The metrics of a vLLM that names these models and runs one request.
fn vllm(models: &[&str]) -> Vec<u8> {
    let lines = |name: &str, value: f64| {
        let line = |model| format!("vllm:{name}{{engine=\"0\",model_name=\"{model}\"}} {value}\n");
        models.iter().map(line).collect::<String>()
    };
    whole(
        200,
        &(lines("num_requests_waiting", 0.0) + &lines("num_requests_running", 1.0 / models.len() as f64)),
    )
}

/// As many XInferences as there are lists.
fn xinferences(lists: &[&[(&str, f64)]]) -> Vec<Node> {
    let nodes = Node::several(lists.len());
    for (node, models) in nodes.iter().zip(lists) {
        node.report_at(STATISTICS);
        node.answer_metrics(&xinference(models));
    }
    nodes
}

fn config(nodes: &[Node], directives: &str) -> Config {
    let names: Vec<_> = nodes.iter().map(Node::name).collect();
    Config::new(upstream("llm", &format!("{directives} {POLLED}"), names)).server("client_max_body_size 16m;")
}

fn start(config: &Config) -> Nginx {
    let nginx = config.start();
    nginx.wait_until_all("fresh");
    nginx
}

/// A chat request, filled up to a number of bytes, with the model where it stands last.
fn chat(model: &str, bytes: usize) -> String {
    let fill = "tell me \\n more ".repeat(bytes / 16);
    format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{fill}\"}}],\"stream\":true,\"model\":\"{model}\"}}"
    )
}

fn post(connection: &mut Connection, body: &str) -> Answer {
    connection.send("POST", "/", &[("content-type", "application/json")], body).expect("an answer")
}

/// How many of so many requests with a body come to each node; none may be an error.
fn counts(nginx: &Nginx, nodes: &[Node], requests: usize, body: &str) -> Vec<usize> {
    let mut connection = nginx.connect();
    let answers: Vec<_> = (0..requests).map(|_| post(&mut connection, body)).collect();
    answers.iter().for_each(|answer| assert_eq!(answer.status, 200, "{}", answer.body));
    let from =
        |node: &Node| answers.iter().filter(|answer| answer.header("x-upstream") == node.name()).count();
    nodes.iter().map(from).collect()
}

/// The module: of XInferences those that serve the model share its requests by what is left of each for it, whatever the
/// algorithm, and by the name of the model as well as by its id.
#[test]
fn a_model_goes_to_those_who_serve_it_by_what_is_left() {
    for algorithm in
        ["tblb;", "tblb s2_enhanced;", "tblb; tblb_metrics_signal waiting x; tblb_limit waiting=0 running=0;"]
    {
        let nodes = xinferences(&[&[("a", 0.8), ("b", 0.1)], &[("a", 0.4)], &[("b", 1.0), ("c", 0.0)]]);
        let nginx = start(&config(&nodes, algorithm));
        // 0.2 to 0.6: a fourth of 400, and that within five standard deviations.
        let a = counts(&nginx, &nodes, 400, &chat("a", 0));
        assert!(a[2] == 0 && a[0].abs_diff(100) < 45, "{a:?}");
        // 0.9 to 0.001.
        let b = counts(&nginx, &nodes, 200, &chat("b-0", 0));
        assert!(b[1] == 0 && b[0] > 190, "{b:?}");
        assert_eq!(counts(&nginx, &nodes, 10, &chat("c", 0)), [0, 0, 10]);
        let answer = post(&mut nginx.connect(), &chat("c", 0));
        assert_eq!((answer.header("x-reason"), answer.header("x-score")), ("score", "1.000000"));
    }
}

/// The module: the model is found wherever the body is: in one buffer, in two, in a file, over HTTP/2.
#[test]
fn a_model_is_found_in_bodies_of_any_size() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)]]);
    for buffers in
        ["client_body_buffer_size 8k;", "client_body_buffer_size 8m;", "client_body_in_file_only clean;"]
    {
        let nginx = start(&config(&nodes, "tblb;").server(buffers).http2());
        for size in [0, 1 << 10, 3 << 10, 20 << 10, 4 << 20] {
            assert_eq!(counts(&nginx, &nodes, 3, &chat("a", size)), [3, 0], "{size} bytes, {buffers}");
            let mut connection = Connection::open_http2(nginx.http2_address()).expect("a connection");
            let answer = post(&mut connection, &chat("b", size));
            assert_eq!(answer.header("x-upstream"), nodes[1].name(), "{size} bytes over HTTP/2, {buffers}");
        }
    }
}

/// The module: a request whose model cannot be known is passed on by score: one with no JSON, with no body, with a body
/// that nginx does not wait for.
#[test]
fn a_request_of_unknown_model_is_passed_on() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)]]);
    let nginx = start(&config(&nodes, "tblb;"));
    let cut = &chat("none", 100)[..60];
    for body in
        ["", "model=none", cut, "{\"model\":\"none\"", "{\"model\":\"none\"}}", "{\"model\":7}", "[1]"]
    {
        let got = counts(&nginx, &nodes, 60, body);
        assert!(got.iter().all(|count| *count > 10), "{body}: {got:?}");
        assert_eq!(post(&mut nginx.connect(), body).header("x-reason"), "score");
    }
    assert_eq!(nginx.get("/").status, 200);

    let nginx = start(&config(&nodes, "tblb;").server("proxy_request_buffering off;"));
    for size in [0, 1 << 20] {
        let got = counts(&nginx, &nodes, 60, &chat("none", size));
        assert!(got.iter().all(|count| *count > 10), "{got:?}");
    }
}

/// The module: a model that no server has is refused with an error in OpenAI's form; the connection lives on, and
/// neither requests nor memory of theirs are left behind.
#[test]
fn a_model_that_no_server_has_is_refused() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)]]);
    let nginx = start(&config(&nodes, &format!("tblb; {LISTED} keepalive 4;")).workers(1).http2());
    let name = "no \\\"such\\\" <model>";
    let mut connections =
        [nginx.connect(), Connection::open_http2(nginx.http2_address()).expect("a connection")];
    for connection in &mut connections {
        for size in [0, 100, 1 << 20] {
            let answer = post(connection, &chat(name, size));
            assert_eq!((answer.status, answer.header("content-type")), (404, "application/json"));
            let error: Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!(error["error"]["message"], "The model `no \"such\" <model>` does not exist.");
            assert_eq!(
                (&error["error"]["type"], &error["error"]["code"]),
                (&json!("NotFoundError"), &json!(404))
            );
            assert_eq!(
                post(connection, &chat("a", size)).header("x-upstream"),
                nodes[0].name(),
                "the same connection"
            );
        }
    }
    let logged = nginx.logged("/");
    assert_eq!((logged.status.as_str(), logged.upstream.as_str()), ("404", "-"));
    assert!(nginx.log_with("[error]").is_empty(), "{}", nginx.log());
    let memory = |nginx: &Nginx| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", nginx.workers()[0])).expect("a worker");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim_end_matches(" kB").trim().parse::<u64>().expect("a number")
    };
    let refused = |connection: &mut Connection, n: usize| {
        (0..n).for_each(|_| assert_eq!(post(connection, &chat("none", 100)).status, 404))
    };
    refused(&mut connections[0], 500);
    let before = memory(&nginx);
    refused(&mut connections[0], 4000);
    let grown = memory(&nginx).saturating_sub(before);
    // A request's pool has 4 kB, and 4,000 of them 16 MB.
    assert!(grown < 2000, "{grown} kB more after 4000 refusals");
    assert_eq!(nginx.status().sum("llm", "in_flight"), 0);
    // Ends only when no request is left.
    drop(connections);
    nginx.quit();
}

/// The module: subrequests, too, can be refused, and what they belong to goes on.
#[test]
fn subrequests_are_refused_like_others() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)]]);
    let locations = "location /mirrored { mirror /mirror; proxy_pass http://plain; }
        location /ruled { auth_request /auth; proxy_pass http://plain; }
        location = /mirror { internal; proxy_pass http://llm; }
        location = /auth {
            internal; proxy_pass http://llm; proxy_pass_request_body off; proxy_set_header Content-Length \"\";
        }";
    let names: Vec<_> = nodes.iter().map(Node::name).collect();
    let llm = upstream("llm", &format!("tblb; tblb_model $http_x_model; {POLLED}"), &names);
    let plain = upstream("plain", "", &names[..1]);
    let mut nginx = start(&Config::new(llm + &plain).server(locations));
    nginx.expect_in_log("auth request unexpected status: 404");
    let mut connection = nginx.connect();
    for (model, path, status) in [
        ("none", "/mirrored", 200),
        ("a", "/mirrored", 200),
        ("none", "/ruled", 500),
        ("a", "/ruled", 200),
        ("none", "/", 404),
    ] {
        let answer = connection.send("POST", path, &[("x-model", model)], "x");
        assert_eq!(answer.expect("an answer").status, status, "{model} {path}");
        // nginx closes the connection after a 500.
        connection = nginx.connect();
    }
    let head = connection.send("HEAD", "/", &[("x-model", "none")], "").expect("an answer");
    assert_eq!((head.status, head.body.as_str()), (404, ""));
    drop(connection);
    nginx.quit();
}

/// The module: where the body does not say it, a variable names the model, and the body goes before it.
#[test]
fn a_variable_names_the_model_where_the_body_does_not() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)]]);
    for buffering in ["on", "off"] {
        let config = config(&nodes, "tblb; tblb_model $HTTP_X_Model;");
        let nginx = start(&config.server(&format!("proxy_request_buffering {buffering};")));
        let mut connection = nginx.connect();
        let mut ask = |model: &str, body: &str| {
            connection.send("POST", "/", &[("x-model", model)], body).expect("an answer")
        };
        for _ in 0..5 {
            assert_eq!(ask("a", "no JSON").header("x-upstream"), nodes[0].name());
            assert_eq!(ask("b", "no JSON").header("x-upstream"), nodes[1].name());
            let of_both = ask("b", &chat("a", 0));
            assert_eq!(of_both.header("x-upstream"), nodes[usize::from(buffering == "off")].name());
        }
        assert_eq!(ask("none", "no JSON").status, 404);
    }
    let unknown = config(&nodes, "tblb; tblb_model $no_such_variable;").check();
    assert!(
        !unknown.right && unknown.said.contains("unknown \"no_such_variable\" variable"),
        "{}",
        unknown.said
    );
}

/// The module: labels of vLLM's series tell who serves which model where a user has them count, and a model that none names is
/// refused or passed on, as the user says.
#[test]
fn labels_of_vllm_tell_who_serves_a_model() {
    let nodes = Node::several(3);
    nodes[0].answer_metrics(&vllm(&["a"]));
    nodes[1].answer_metrics(&vllm(&["a", "b"]));
    nodes[2].answer_metrics(&vllm(&["b"]));
    for (model, none) in [(LISTED, 404), ("tblb_model $http_x_model unlisted=pass;", 200)] {
        for algorithm in ["least_work", "s2_enhanced", "least_conn"] {
            // What least_work learns of speed may lead it to one of two.
            let least = if algorithm == "least_work" { 0 } else { 5 };
            let nginx = start(&config(&nodes, &format!("tblb {algorithm}; {model}")));
            let a = counts(&nginx, &nodes, 40, &chat("a", 0));
            assert!(a[2] == 0 && a[0] >= least && a[1] >= least, "{algorithm} {a:?}");
            let b = counts(&nginx, &nodes, 40, &chat("b", 0));
            assert!(b[0] == 0 && b[1] >= least && b[2] >= least, "{algorithm} {b:?}");
            assert_eq!(post(&mut nginx.connect(), &chat("lora", 0)).status, none, "{algorithm} {model}");
        }
    }
    for model in ["", "tblb_model off;"] {
        let nginx = start(&config(&nodes, &format!("tblb s2_enhanced; {model}")));
        let all = counts(&nginx, &nodes, 60, &chat("a", 0));
        assert!(all.iter().all(|count| *count > 5), "{all:?}");
    }
}

/// The module: where all servers name models by their labels, and those of one model have none in common with the others, a request
/// goes to the servers of its model without a directive. A model that none names goes to any.
#[test]
fn labels_of_different_models_decide_by_themselves() {
    let nodes = Node::several(3);
    nodes[0].answer_metrics(&vllm(&["a"]));
    nodes[1].answer_metrics(&vllm(&["b", "c"]));
    nodes[2].answer_metrics(&vllm(&["c"]));
    for algorithm in ["least_work", "s2_enhanced"] {
        let nginx = start(&config(&nodes, &format!("tblb {algorithm};")));
        let got = |model: &str| counts(&nginx, &nodes, 40, &chat(model, 0));
        let (a, b) = (got("a"), got("b"));
        assert_eq!(a, [40, 0, 0], "{algorithm}");
        assert!(b[0] == 0 && b[1] > 5 && b[2] > 5, "{algorithm}: {b:?}");
        assert!(got("d").iter().all(|count| *count > 5), "{algorithm}");
    }
}

/// Metrics refuse no request that no `tblb_model` asks to be refused, and one page that names a model does not draw all
/// requests for it: other engines may serve it unnamed. Nor are engines that name no model yet left out.
/// Promise 2.
#[test]
fn no_list_refuses_or_draws_requests_by_itself() {
    let llamacpp = || whole(200, "llamacpp:requests_processing 0\nllamacpp:requests_deferred 0\n");
    let by_model = |models: &[(&str, f64)]| (STATISTICS, xinference(models));
    let page = |page: Vec<u8>| ("/metrics", page);
    let base = || page(vllm(&["base"]));
    let pools = [
        ("qwen", vec![page(llamacpp()), page(llamacpp()), by_model(&[("qwen", 0.0)])]),
        ("lora", vec![base(), base(), page(vllm(&["base", "lora"]))]),
        ("lora", vec![base(), base(), by_model(&[("lora", 0.0)])]),
        ("qwen", vec![by_model(&[]), by_model(&[]), by_model(&[])]),
    ];
    for (model, pages) in pools {
        let nodes = Node::several(pages.len());
        for (node, (path, page)) in nodes.iter().zip(&pages) {
            node.report_at(path);
            node.answer_metrics(page);
        }
        for algorithm in ["least_work", "s2_enhanced"] {
            let nginx = start(&config(&nodes, &format!("tblb {algorithm};")));
            // None is refused, which `counts` sees, and each engine has its part.
            let got = counts(&nginx, &nodes, 60, &chat(model, 0));
            assert!(got.iter().all(|count| *count > 5), "{algorithm}, {model}: {got:?}");
        }
    }
}

/// The module: a server without fresh metrics may serve any model, one that serves another is not tried even where those
/// that serve it fail, and backup servers step in for a model that no primary one has.
#[test]
fn who_is_tried_for_a_model() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)], &[("b", 0.5), ("c", 0.5)]]);
    let names: Vec<_> = nodes.iter().map(Node::name).collect();
    let servers = [names[0].clone(), names[1].clone(), format!("{} backup", names[2])];
    let http = upstream("llm", &format!("tblb; {LISTED} {POLLED}"), servers);
    let nginx = start(&Config::new(http));
    assert_eq!(counts(&nginx, &nodes, 5, &chat("c", 0)), [0, 0, 5]);
    assert_eq!(counts(&nginx, &nodes, 5, &chat("b", 0)), [0, 5, 0]);
    assert_eq!(post(&mut nginx.connect(), &chat("none", 0)).status, 404);
    let others = || nodes[1].seen().requests + nodes[2].seen().requests;
    let before = others();
    nodes[0].set_mood(Mood::Close);
    assert_eq!(post(&mut nginx.connect(), &chat("a", 0)).status, 502);
    assert_eq!(others(), before);

    let silent = Node::start();
    silent.answer_metrics(&whole(500, "no metrics"));
    let nginx = Config::new(upstream("llm", &format!("tblb; {POLLED}"), [&names[1], &silent.name()])).start();
    nginx.wait_for("one reports", |status| {
        (status.peer("llm", &names[1]).text("state") == "fresh").then_some(())
    });
    assert_eq!(counts(&nginx, std::slice::from_ref(&silent), 10, &chat("none", 0)), [10]);
    let shared = counts(&nginx, std::slice::from_ref(&silent), 60, &chat("b", 0));
    assert!((10..50).contains(&shared[0]), "{shared:?}");
}

/// The module: what a server serves changes with its metrics, and survives a reload.
#[test]
fn models_come_and_go_and_survive_a_reload() {
    let nodes = xinferences(&[&[("a", 0.5)], &[("b", 0.5)]]);
    let nginx = start(&config(&nodes, &format!("tblb; {LISTED}")));
    nodes[0].answer_metrics(&xinference(&[("c", 0.25)]));
    nginx.wait_for("the new model", |status| {
        let peer = status.peer("llm", &nodes[0].name());
        (peer.0["models"][1] == json!({"name": "c", "utilization": 0.25, "score": 0.75})).then_some(())
    });
    assert_eq!(counts(&nginx, &nodes, 5, &chat("c", 0)), [5, 0]);
    assert_eq!(post(&mut nginx.connect(), &chat("a", 0)).status, 404);
    // No poll answers any more, so that what is known is what was carried over.
    nodes.iter().for_each(|node| node.answer_metrics(&whole(500, "no metrics")));
    nginx.reload();
    assert_eq!(counts(&nginx, &nodes, 5, &chat("c", 0)), [5, 0]);
    assert_eq!(counts(&nginx, &nodes, 5, &chat("b", 0)), [0, 5]);
    assert_eq!(post(&mut nginx.connect(), &chat("a", 0)).status, 404);
}

/// The module: four kinds of engines at once, each found by what it answers, and the requests of each go there.
#[test]
fn a_fleet_of_four_kinds() {
    let nodes = Node::several(4);
    nodes[0].answer_metrics(&vllm(&["a"]));
    nodes[1].answer_metrics(&whole(
        200,
        "sglang:num_running_reqs{model_name=\"b\"} 1\nsglang:num_queue_reqs{model_name=\"b\"} 0\n",
    ));
    nodes[2].answer_metrics(&whole(200, "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n"));
    nodes[3].report_at(STATISTICS);
    nodes[3].answer_metrics(&xinference(&[("c", 0.5), ("a", 0.5)]));
    for algorithm in ["least_work", "s2_enhanced"] {
        let nginx = start(&config(&nodes, &format!("tblb {algorithm}; {LISTED}")));
        let status = nginx.status();
        let engines: Vec<_> =
            nodes.iter().map(|node| status.peer("llm", &node.name()).text("engine").to_owned()).collect();
        assert_eq!(engines, ["vllm", "sglang", "llamacpp", "xinference"]);
        let a = counts(&nginx, &nodes, 60, &chat("a", 0));
        assert!(a[0] + a[3] == 60 && (algorithm == "least_work" || a[0].min(a[3]) > 5), "{algorithm}: {a:?}");
        assert_eq!(counts(&nginx, &nodes, 10, &chat("b", 0)), [0, 10, 0, 0], "{algorithm}");
        assert_eq!(counts(&nginx, &nodes, 10, &chat("c", 0)), [0, 0, 0, 10], "{algorithm}");
        // llama.cpp does not say what it serves, and serves whatever it is asked for.
        assert_eq!(counts(&nginx, &nodes, 10, &chat("d", 0)), [0, 0, 10, 0], "{algorithm}");
        counts(&nginx, &nodes, 20, "no JSON");
    }
}
