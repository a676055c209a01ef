//! The prefix cache of a node.

/// What a node still holds of conversations, the least recently used first.
#[derive(Debug)]
pub struct Prefixes {
    held: Vec<(u64, u32)>,
    room: u64,
    taken: u64,
}

impl Prefixes {
    /// Room for so many tokens.
    pub fn new(room: u64) -> Self {
        Self { held: Vec::new(), room, taken: 0 }
    }

    /// The tokens that are held of a conversation; it has been used now.
    pub fn look_up(&mut self, session: u64) -> u32 {
        self.held.iter().position(|held| held.0 == session).map_or(0, |at| {
            let held = self.held.remove(at);
            self.held.push(held);
            held.1
        })
    }

    /// So many tokens of a conversation are there now; what was not used for the longest time makes room.
    pub fn store(&mut self, session: u64, tokens: u32) {
        if let Some(at) = self.held.iter().position(|held| held.0 == session) {
            self.taken -= u64::from(self.held.remove(at).1);
        }
        self.held.push((session, tokens));
        self.taken += u64::from(tokens);
        let mut gone = 0;
        for (_, tokens) in &self.held {
            if self.taken <= self.room {
                break;
            }
            self.taken -= u64::from(*tokens);
            gone += 1;
        }
        self.held.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let mut prefixes = Prefixes::new(1000);
        prefixes.store(1, 400);
        prefixes.store(2, 400);
        assert_eq!(prefixes.look_up(1), 400);
        prefixes.store(3, 400);
        assert_eq!([1, 2, 3].map(|session| prefixes.look_up(session)), [400, 0, 400]);
        prefixes.store(1, 600);
        assert_eq!([1, 3].map(|session| prefixes.look_up(session)), [600, 400]);
        prefixes.store(4, 2000);
        assert_eq!([1, 3, 4].map(|session| prefixes.look_up(session)), [0; 3]);
    }
}
