//! A worker process: the board as it sees it, its groups of peers, its tries, and its timer.
//!
//! nginx runs a worker in one thread; what is kept here is that thread's alone.

use crate::conf::{self, MainConf, UpstreamConf};
use crate::group::Group;
use crate::peers::{self, Copied, Peers};
use crate::polling::Polling;
use crate::{clock, guard, zone};
use ngx::ffi::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_add_timer, ngx_connection_t, ngx_cycle_t, ngx_del_timer,
    ngx_event_t, ngx_exiting, ngx_msec_t, ngx_process, ngx_quit, ngx_terminate, ngx_uint_t, ngx_worker,
};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr;
use tblb_core::balancer::Taken;
use tblb_core::board::{Board, Row};
use tblb_core::failpoint::{Point, hit};
use tblb_core::scores::Verdict;
use tblb_core::tries::{Delivery, Ending, Id, Ledger, Tries};

/// How often a worker looks after its lease and its peers: six times within the time in which a lease expires.
const TICK_MS: ngx_msec_t = 250;

/// How long a peer may be gone from its upstream before its slot is given to another: longer than a reload or a
/// change in the DNS takes. A test of what happens then does not wait as long.
const GRACE_MS: u64 = if cfg!(feature = "failpoints") { 1_000 } else { 60_000 };

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// What a worker keeps.
pub struct Worker {
    cycle: *mut ngx_cycle_t,
    /// None if the zone cannot be used: then nothing is known and nothing counted.
    board: Option<Board<'static>>,
    row: Option<Row<'static>>,
    /// The groups of each upstream by its number: the primary servers and the backup ones.
    groups: Vec<[Group; 2]>,
    tries: Tries,
    rng: fastrand::Rng,
    polling: Polling,
    timer: Box<Timer>,
}

/// The timer. nginx logs what it does with an event by way of the connection that it takes the data for.
struct Timer {
    event: ngx_event_t,
    connection: ngx_connection_t,
}

impl Timer {
    fn new(cycle: *mut ngx_cycle_t) -> Box<Self> {
        // SAFETY: events and connections are plain data, for which nginx itself starts from zeros.
        let mut timer = Box::new(unsafe { MaybeUninit::<Timer>::zeroed().assume_init() });
        // SAFETY: the cycle is that of this process, and has a log.
        timer.event.log = unsafe { (*cycle).log };
        timer.connection.log = timer.event.log;
        timer.connection.fd = -1;
        timer.event.data = (&raw mut timer.connection).cast();
        timer.event.handler = Some(tick);
        // A worker that shuts down does not wait for it.
        timer.event.set_cancelable(1);
        timer
    }
}

/// Begins in a process that handles requests; does nothing in others.
pub fn begin(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx sets these when a process begins, and not after.
    let (process, number) = unsafe { (ngx_process, ngx_worker) };
    if process != NGX_PROCESS_WORKER as ngx_uint_t && process != NGX_PROCESS_SINGLE as ngx_uint_t {
        return;
    }
    // SAFETY: the cycle is initialised, and lives as long as this process or until `end`.
    let Some(main) = (unsafe { conf::main_of_cycle(cycle) }).filter(|main| !main.upstreams.is_empty()) else {
        return;
    };
    // SAFETY: the zone is the cycle's, and mapped as long as it.
    let board = unsafe { main.zone.as_ref() }.and_then(zone::board);
    let row = board.and_then(|board| board.row(number));
    #[cfg(feature = "failpoints")]
    crate::failpoints::arm();
    hit(Point::WorkerBegins);
    if let Some(row) = row {
        row.begin(std::process::id());
    }
    // SAFETY: as above. A request that is proxied takes two connections, so that there are fewer tries than these.
    let connections = unsafe { (*cycle).connection_n };
    let mut worker = Worker {
        cycle,
        board,
        row,
        groups: main
            .upstreams()
            .map(|upstream| [false, true].map(|backup| Group::new(upstream, backup)))
            .collect(),
        tries: Tries::with_capacity(connections),
        rng: fastrand::Rng::with_seed(clock::now_us() ^ (u64::from(std::process::id()) << 32)),
        polling: Polling::new(),
        timer: Timer::new(cycle),
    };
    // The first tick comes at once, so that polling begins with the first worker.
    // SAFETY: the event is initialised, in a box that stays where it is until `end` deletes the timer.
    unsafe { ngx_add_timer(&mut worker.timer.event, 1) };
    WORKER.with(|cell| cell.replace(Some(worker)));
}

/// Ends what `begin` began, and says whether there was anything: the poller first, so that nothing writes to the
/// board any more.
pub fn end() -> bool {
    let Some(mut worker) = WORKER.with(|cell| cell.take()) else { return false };
    worker.polling.end();
    if worker.timer.event.timer_set() != 0 {
        // SAFETY: the timer is set, by us.
        unsafe { ngx_del_timer(&mut worker.timer.event) };
    }
    true
}

unsafe extern "C" fn tick(event: *mut ngx_event_t) {
    let again = guard::or(true, || with(Worker::tick).unwrap_or(false));
    if again {
        // SAFETY: it is our event, which has just fired; `end` deletes it before it goes.
        unsafe { ngx_add_timer(event, TICK_MS) };
    }
}

/// Whether this process was told to end. nginx goes on for as long as it has requests.
fn exiting() -> bool {
    // SAFETY: signal handlers set these words whole.
    unsafe {
        ngx_exiting != 0
            || ptr::read_volatile(&raw const ngx_quit) != 0
            || ptr::read_volatile(&raw const ngx_terminate) != 0
    }
}

/// Runs `f` with the worker, None if it never began.
pub fn with<T>(f: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    WORKER.with(|cell| cell.try_borrow_mut().ok()?.as_mut().map(f))
}

impl Worker {
    /// Where it counts, None if it cannot.
    fn ledger(&self) -> Option<Ledger<'static>> {
        Some(Ledger { board: self.board?, row: self.row? })
    }

    /// Looks after the lease, the peers and the board; false when that is over.
    fn tick(&mut self) -> bool {
        if exiting() {
            self.polling.stop();
            return false;
        }
        let Some(board) = self.board else { return false };
        // SAFETY: the cycle lives until `end`.
        let Some(main) = (unsafe { conf::main_of_cycle(self.cycle) }) else { return false };
        let now = clock::now_ms();
        let polls = main.upstreams().any(|upstream| upstream.block.metrics.is_some());
        if self.polling.lead(&board, polls, now) {
            self.look_after(&board, main, now);
        }
        // SAFETY: the cycle's log is open as long as the cycle.
        unsafe { self.polling.report((*self.cycle).log) };
        true
    }

    /// What only the worker with the lease does: says which peers there are, to the poller and on the board, and
    /// cleans the board.
    fn look_after(&mut self, board: &Board, main: &MainConf, now: u64) {
        for (upstream, groups) in main.upstreams().zip(&mut self.groups) {
            for (list, group) in zone::lists(upstream).zip(groups) {
                group.follow(upstream, list, Some(board), now);
                let seen = group.peers.slots().iter().flatten().filter_map(|slot| board.slot(*slot as usize));
                seen.for_each(|slot| slot.see(now));
            }
        }
        let slots = self.groups.iter().flatten().flat_map(|group| group.peers.slots());
        // SAFETY: the cycle's log is open as long as the cycle.
        unsafe { zone::report_unmeasured(slots.filter(|slot| slot.is_none()).count(), (*self.cycle).log) };
        let groups = || {
            main.upstreams().zip(&self.groups).flat_map(|(up, groups)| groups.iter().map(move |g| (up, g)))
        };
        let version = groups().map(|(_, group)| group.changes()).sum();
        self.polling.follow(version, groups().map(|(up, group)| (up, group.copied(), group.peers.slots())));
        board.forget_gone(alive);
        board.reclaim(now, GRACE_MS);
    }

    /// The upstreams with their lists of peers, each with its group brought up to date.
    pub fn each_group(&mut self, mut f: impl FnMut(&UpstreamConf, Option<&Board>, &[Copied], &Group, bool)) {
        // SAFETY: the cycle lives until `end`.
        let Some(main) = (unsafe { conf::main_of_cycle(self.cycle) }) else { return };
        let mut copied = Vec::new();
        let now = clock::now_ms();
        for (upstream, groups) in main.upstreams().zip(&mut self.groups) {
            for (index, (list, group)) in zone::lists(upstream).zip(groups).enumerate() {
                group.refresh(upstream, list, self.board.as_ref(), now);
                peers::copy(list, clock::seconds(), &mut copied);
                f(upstream, self.board.as_ref(), &copied, group, index > 0);
            }
        }
    }
}

/// Whether there is a process of that id.
pub fn alive(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 only asks.
    let answer = unsafe { libc::kill(pid, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Runs `f` with the group of a list of peers, brought up to date, the board, the worker's random numbers and the time in µs;
/// None if the worker never began.
pub fn with_group<T>(
    upstream: &UpstreamConf,
    list: Peers,
    f: impl FnOnce(&mut Group, Option<&Board>, &mut fastrand::Rng, u64) -> T,
) -> Option<T> {
    with(|worker| {
        let backup = zone::lists(upstream).next() != Some(list);
        let group = worker.groups.get_mut(upstream.number)?.get_mut(usize::from(backup))?;
        let now = clock::now_us();
        if let (Some(board), Some(row)) = (worker.board, worker.row) {
            worker.tries.sweep(Ledger { board, row }, now);
        }
        group.refresh(upstream, list, worker.board.as_ref(), now / 1000);
        Some(f(group, worker.board.as_ref(), &mut worker.rng, now))
    })?
}

/// Whether it matters which model a request to an upstream asks for.
pub fn models_matter(upstream: &UpstreamConf) -> bool {
    // Without metrics no server names a model.
    if upstream.block.metrics.is_none() && !upstream.block.models.given {
        return false;
    }
    let matter = |group: &Group| group.peers.scores().models_matter(&upstream.block);
    each_group_of(upstream, |group, _| matter(group)).is_some_and(|groups| groups.contains(&true))
}

/// What is to be done with a request to an upstream for a model, by its key: it is refused only if neither the primary
/// servers nor the backup ones have it.
pub fn verdict(upstream: &UpstreamConf, model: u64) -> Verdict {
    let verdict = |group: &mut Group| {
        group.peers.ask(Some(model));
        group.peers.verdict(&upstream.block)
    };
    let [primary, backup] =
        each_group_of(upstream, |group, there| if there { verdict(group) } else { Verdict::Refused })
            .unwrap_or([Verdict::Served; 2]);
    if [primary, backup].contains(&Verdict::Served) { Verdict::Served } else { primary }
}

/// Runs `f` with both groups of an upstream, their metrics brought up to date, and whether there are such servers; None if the worker
/// never began.
fn each_group_of<T>(upstream: &UpstreamConf, mut f: impl FnMut(&mut Group, bool) -> T) -> Option<[T; 2]> {
    with(|worker| {
        let (mut lists, now) = (zone::lists(upstream), clock::now_ms());
        let groups = worker.groups.get_mut(upstream.number)?;
        Some(groups.each_mut().map(|group| {
            let list = lists.next();
            if let Some(list) = list {
                group.refresh_metrics(upstream, list, worker.board.as_ref(), now);
            }
            f(group, list.is_some())
        }))
    })?
}

/// The tokens that a request to an upstream counts for, if `bytes` bytes of its body are there. What is usual is learnt from a
/// body that `is_whole`.
pub fn prompt(upstream: &UpstreamConf, bytes: u64, is_whole: bool) -> u32 {
    let prompts = with(|worker| worker.board?.prompts(upstream.number)).flatten();
    prompts.map_or(1, |prompts| {
        if is_whole {
            prompts.learn(bytes);
        }
        prompts.tokens(bytes)
    })
}

/// A request with a prompt of `prompt` tokens goes to the peer that was taken at `now` (µs). The try, and whether its answer is read
/// to the end; None if the request cannot be counted.
pub fn begin_try(taken: &Taken, prompt: u32, now: u64) -> Option<(Id, bool)> {
    with(|worker| {
        let id = worker.tries.begin(worker.ledger()?, taken, prompt, now)?;
        Some((id, worker.tries.reads(id)))
    })
    .flatten()
}

/// Bytes of the answer to a try come; `is_whole` says whether it is known to come in one piece. Whether the answer began with
/// them: with its first generated text where its form is known.
pub fn read(id: Id, bytes: &[u8], is_whole: bool) -> bool {
    let now = clock::now_us();
    with(|worker| Some(worker.tries.read(worker.ledger()?, id, bytes, is_whole, now))).flatten() == Some(true)
}

/// The rest of the answer to a try cannot be read, so that the answer teaches nothing.
pub fn give_up(id: Id) {
    with(|worker| worker.tries.give_up(id));
}

/// Whether the client has not taken all that came of the answer to a try.
pub fn blocked(id: Id, is_blocked: bool) {
    let now = clock::now_us();
    with(|worker| {
        if let Some(at) = worker.ledger() {
            worker.tries.blocked(at, id, is_blocked, now);
        }
    });
}

/// How the text of the answer to a try came up to now, None if it is no generated text.
pub fn delivery(id: Id, picked_at: u64) -> Option<Delivery> {
    with(|worker| worker.tries.answer(id)?.delivery(picked_at)).flatten()
}

/// A try ends.
pub fn end_try(id: Id, ending: Ending) {
    let now = clock::now_us();
    with(|worker| {
        if let Some(at) = worker.ledger() {
            worker.tries.end(at, id, ending, now);
        }
    });
}

/// The first byte of a body comes from the peer of a slot, `us` µs after the pick.
pub fn first_byte(slot: Option<u32>, us: u64) {
    with(|worker| {
        let slot = slot.and_then(|slot| worker.board?.slot(slot as usize));
        slot.inspect(|slot| slot.ttft().add(us));
    });
}
