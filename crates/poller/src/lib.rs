//! stub
#![allow(missing_docs)]
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tblb_core::{config::Metrics, engine::Reading, fault::Fault};
#[derive(Clone)]
pub struct Target {
    pub key: u64,
    pub slot: u32,
    pub address: SocketAddr,
    pub host: String,
    pub settings: Arc<Metrics>,
}
pub trait Sink: Send + Sync + 'static {
    fn hold(&self) -> bool;
    fn publish(&self, t: &Target, o: &Result<Reading, Fault>, took: Duration);
    fn changed(&self, t: &Target, now: Option<Fault>);
}
pub struct Poller;
impl Poller {
    pub fn start(_: Arc<dyn Sink>, _: usize) -> std::io::Result<Poller> {
        Ok(Poller)
    }
    pub fn threads(&self) -> usize {
        0
    }
    pub fn set_targets(&self, _: Vec<Target>) {}
    pub fn stop(&self) {}
    pub fn join(self) {}
}
