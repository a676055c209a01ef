//! Tells the sources which nginx they are compiled for, by what nginx-sys found out about it.
//!
//! | cfg                     | true when                                                              |
//! | ----------------------- | ---------------------------------------------------------------------- |
//! | `ngx_feature = "..."`   | that nginx was configured with it (`http_ssl`, `http_upstream_zone` …)  |
//! | `ngx_os = "..."`        | that nginx was configured for it                                       |
//! | `nginx_1_27_3` and such | it is this version or a newer one                                      |
//! | `ngx_upstream_sid`      | it has `sticky` sessions, so balancers must honour `pc->sid`           |

use std::{env, error::Error, fs, path::Path};

/// The versions at which something that the sources use changed, as nginx numbers them, and their cfgs.
const VERSIONS: [(u32, &str); 3] = [
    // `rr_peers.config`, `rr_peer.refs` and NGX_HTTP_UPSTREAM_MODIFY, for servers that `resolve` adds and removes.
    (1_027_003, "nginx_1_27_3"),
    // `pc->sid` and `rr_peer.sid`, for `sticky`.
    (1_029_006, "nginx_1_29_6"),
    // A balancer may follow `keepalive` without losing it.
    (1_029_007, "nginx_1_29_7"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    list_cfg("ngx_feature", "DEP_NGINX_FEATURES_CHECK", "DEP_NGINX_FEATURES")?;
    list_cfg("ngx_os", "DEP_NGINX_OS_CHECK", "DEP_NGINX_OS")?;
    version_cfgs(metadata("DEP_NGINX_VERSION_NUMBER")?.parse()?);
    sid_cfg(Path::new(&metadata("DEP_NGINX_BUILD_DIR")?))?;
    compile_bits()?;
    // nginx unloads its modules before a worker exits; without this, a polling thread that still runs then
    // runs on unmapped code and the worker crashes.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    Ok(())
}

/// What nginx-sys says about nginx in the variable `name`.
fn metadata(name: &str) -> Result<String, String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).map_err(|error| format!("{name}, which nginx-sys sets: {error}"))
}

/// Compiles what reads the bits of requests that the bindings have in the wrong place; src/bits.rs says why.
fn compile_bits() -> Result<(), String> {
    println!("cargo::rerun-if-changed=src/bits.c");
    let mut compiler = cc::Build::new();
    compiler.file("src/bits.c").includes(env::split_paths(&metadata("DEP_NGINX_INCLUDE")?));
    // nginx's headers are not ours to warn of.
    compiler.warnings(false);
    compiler.try_compile("tblb_bits").map_err(|error| error.to_string())
}

/// Sets `cfg = "value"` for each value in the variable `present`; `known` has all values there are, quoted.
fn list_cfg(cfg: &str, known: &str, present: &str) -> Result<(), String> {
    println!("cargo::rustc-check-cfg=cfg({cfg}, values({}))", metadata(known)?);
    for value in metadata(present)?.split(',').map(str::trim).filter(|value| !value.is_empty()) {
        println!("cargo::rustc-cfg={cfg}=\"{value}\"");
    }
    Ok(())
}

fn version_cfgs(version: u32) {
    for (since, cfg) in VERSIONS {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        if version >= since {
            println!("cargo::rustc-cfg={cfg}");
        }
    }
}

/// nginx-sys 0.5 does not list this feature, so it is read from what nginx's configure wrote.
fn sid_cfg(build_dir: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-check-cfg=cfg(ngx_upstream_sid)");
    let config = build_dir.join("ngx_auto_config.h");
    println!("cargo::rerun-if-changed={}", config.display());
    let text = fs::read_to_string(&config).map_err(|error| format!("{}: {error}", config.display()))?;
    if text.lines().any(|line| line.split_whitespace().eq(["#define", "NGX_HTTP_UPSTREAM_SID", "1"])) {
        println!("cargo::rustc-cfg=ngx_upstream_sid");
    }
    Ok(())
}
