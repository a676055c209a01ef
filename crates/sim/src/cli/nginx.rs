//! Which nginx.

use std::path::PathBuf;

/// What every subcommand takes that starts nginx.
#[derive(clap::Args)]
pub struct NginxArgs {
    /// nginx's binary
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    pub nginx: PathBuf,
    /// The module to load, ngx_http_upstream_tblb_module.so
    #[arg(long, value_name = "PATH", required_unless_present = "plain")]
    pub module: Option<PathBuf>,
    /// Use an nginx without the module, to try the machinery
    #[arg(long, hide = true, conflicts_with = "module")]
    pub plain: bool,
}
