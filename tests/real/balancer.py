"""nginx's configuration for one part of the run, and what its access log tells."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

# How often the module polls the engines here, in seconds: its default.
INTERVAL = 1.0


class Tries(NamedTuple):
    """Completions in an access log: how many each peer answered, and the lines of those that were not plainly good."""

    by_peer: Counter
    trouble: list


def method(module, policy):
    """The directives of the balancing method: the module's, or nginx's own least_conn when there is no module."""
    if module is None:
        return "least_conn;"
    return f"{' '.join(['tblb', *policy.split()])};\n        tblb_metrics interval={INTERVAL * 1000:.0f}ms;"


def configuration(module, policy, port, engines):
    """The whole configuration, with two kindnesses. nginx lets go of an idle connection before vLLM does (5 s), or a
    request may be sent on one that is just being closed, and a POST is not tried again. And its buffer holds a whole
    answer: with 4 KB it passes a busy stream on in pieces that end anywhere, and the client of vLLM 0.32 gives one
    up when a piece ends right after "data: " (it strips that blank)."""
    servers = "\n".join(f"        server {engine.address};" for engine in engines)
    load = f"load_module {Path(module).resolve()};\n" if module else ""
    status = "location = /tblb { access_log off; tblb_status; }" if module else ""
    return f"""{load}worker_processes 2;
daemon off;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 1024; }}
http {{
    log_format tries '$request_method $uri $status $upstream_addr $upstream_response_length';
    access_log access.log tries;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    upstream llm {{
        zone llm 512k;
        {method(module, policy)}
{servers}
        keepalive 64;
        keepalive_timeout 4s;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            proxy_read_timeout 300s;
        }}
        {status}
    }}
}}
"""


def read_tries(access_log):
    """Reads an access log. A second try shows as two addresses with a comma between them, and is trouble too."""
    by_peer, trouble = Counter(), []
    for line in access_log.read_text().splitlines():
        request, uri, status, peer, *_ = line.split()
        if (request, uri) != ("POST", "/v1/completions"):
            continue
        if status == "200" and "," not in line:
            by_peer[peer] += 1
        else:
            trouble.append(line)
    return Tries(by_peer, trouble)
