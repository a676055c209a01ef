use super::*;

#[test]
fn errors_in_each_form_are_seen() {
    for body in [
        r#"{"error":{"message":"out of memory","type":"server_error","code":500}}"#,
        r#"{"error":"model runner has unexpectedly stopped"}"#,
        r#"{"object":"error","message":"x","type":"InternalServerError","code":500}"#,
        "data: {\"error\":{\"message\":\"EngineDeadError\",\"type\":\"InternalServerError\",\"code\":500}}\n\ndata: [DONE]\n\n",
        "data: {\"choices\":[{\"text\":\" the\"}]}\n\ndata: {\"object\":\"error\",\"message\":\"x\"}\n\n",
        "data:{\"error\":\"Request failed during generation\",\"error_type\":\"generation\"}\n\n",
        "error: {\"code\":500}\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        "data: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\"}\n\n",
        "event: error\ndata: x\n\n",
        "event:error\r\ndata: x\r\n\r\n",
        "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\"}}}\n\n",
        r#"{"object":"response","status":"failed","error":null,"output":[]}"#,
        "{\"model\":\"m\",\"response\":\"a\",\"done\":false}\n{\"error\":\"an error was encountered while running the model\"}\n",
        r#"{"choices":[{"index":0,"text":"a","finish_reason":"error"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"abort"}]}"#,
        r#"{"text":"","meta_info":{"finish_reason":{"type":"abort","message":"x"},"completion_tokens":0}}"#,
    ] {
        if body.starts_with("error:") {
            assert!(!whole(body).error(), "no field of an event stream: {body}");
        } else {
            assert!(whole(body).error(), "{body}");
        }
    }
}

#[test]
fn what_is_no_error_is_none() {
    for body in [
        r#"{"error":null,"choices":[{"text":"a","finish_reason":"stop"}]}"#,
        r#"{"error":"","response":"a","done":true}"#,
        r#"{"error":false}"#,
        r#"{"error":[]}"#,
        r#"{"choices":[{"message":{"content":"{\"error\":\"x\"}"}}]}"#,
        r#"{"data":{"error":"x"}}"#,
        "event: ping\n\n",
        "event: errors\n\n",
        "data: {\"choices\":[{\"delta\":{\"error\":{}}}]}\n\n",
        "data: {\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\"}}\n\n",
        r#"{"status":"failed"}"#,
    ] {
        assert!(!whole(body).error(), "{body}");
    }
}
