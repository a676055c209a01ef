//! Failpoints: named places at which a test lets a process be killed, or a thread panic or stand still.
//!
//! They are there with the feature `failpoints` only, which a build without debug assertions, as all that is released is,
//! refuses. Without the feature [`hit`] is nothing. There is none where nginx's lock on its servers is held: who is killed
//! there wedges nginx itself (docs/reliability.md, promise 4).

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("failpoints are for tests: no build without debug assertions has them");

#[cfg(feature = "failpoints")]
use std::sync::OnceLock;

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident,)*) => {
        /// A place where something can be made to happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $point,)* }

        impl Point {
            /// All of them.
            pub const ALL: &[Point] = &[$(Point::$point,)*];
        }
    };
}

points! {
    /// A worker begins: nothing of it is on the board yet.
    WorkerBegins,
    /// It has emptied its row, which is not its own yet.
    RowEmptied,
    /// The row of a worker that is gone is nobody's now.
    RowForgotten,
    /// A slot has the key of its peer and nothing else.
    SlotClaimed,
    /// A slot is empty but for the key of the peer that had it.
    SlotEmptied,

    /// A prompt has moved the quantile of prompts, and is not counted.
    PromptLearnt,
    /// A peer is picked and taken, and the request is not in flight yet.
    PeerPicked,
    /// A request is in flight, and its pick is not counted.
    TryEntered,
    /// The pick is counted too, and the try not remembered yet.
    PickCounted,
    /// A time to the first byte is in the histogram, and not in the sum.
    FirstByteCounted,
    /// An answer begins: its prompt has gone from the row, and its stream is not there yet.
    PromptComputed,
    /// A byte is heard, and the gap before it teaches nothing yet.
    ByteHeard,
    /// A moving average has moved, and the answer is not counted.
    AverageMoved,
    /// A request has left the row, and how it ended is not counted.
    TryLeft,
    /// All of ours has ended for a request, and nginx holds its peer yet.
    PeerHeld,

    /// The lease is taken.
    LeaseTaken,
    /// It is renewed.
    LeaseRenewed,
    /// It is given back.
    LeaseReleased,

    /// The poller's threads are about to be started.
    PollerStarts,
    /// They run, and know of no engine yet.
    PollerStarted,
    /// The last of them is about to give the lease back.
    PollerEnds,
    /// An engine's poll is due.
    PollDue,
    /// A connection to an engine is about to be made.
    PollConnects,
    /// It is made.
    PollConnected,
    /// An engine has sent the header of its answer.
    PollAnswered,
    /// A piece of an answer is read.
    PollRead,
    /// A thread has handed over what a poll gave.
    PollDone,
    /// An engine that fails is to be polled less often.
    PollBacksOff,
    /// What a poll gave is about to be written to the board.
    PollPublishes,

    /// The first words of a sample are written.
    SampleBegun,
    /// All of it is, and its version is not.
    SampleWritten,
    /// The sample has its version, and workers are not told.
    SamplePublished,
    /// A fault is written, and not counted.
    FaultWritten,
}

/// What is done at each point that a thread of this process comes by.
#[cfg(feature = "failpoints")]
static ACT: OnceLock<fn(Point)> = OnceLock::new();

/// From now on `act` is called at each point; only the first call in a process counts.
#[cfg(feature = "failpoints")]
pub fn arm(act: fn(Point)) {
    let _ = ACT.set(act);
}

/// A thread comes by a point.
#[cfg(feature = "failpoints")]
pub fn hit(point: Point) {
    if let Some(act) = ACT.get() {
        act(point);
    }
}

/// A thread comes by a point, at which nothing can be made to happen in this build.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_: Point) {}
