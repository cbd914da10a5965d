//! What a run does next.

use super::*;

impl World {
    pub(super) async fn run(&mut self, steps: u64) {
        self.recover(0, SHORT).await;
        while self.step < steps {
            let node = usize::try_from(self.chance.below(NODES as u64)).expect("few");
            if self.chance.one_in(25) {
                self.lose_something().await;
                continue;
            }
            // Now and then the line runs empty, so that the fast lane opens.
            if self.chance.one_in(40) {
                self.drain(node).await;
            }
            let Some(operation) = self.choose(node) else { break };
            let answer = self.act(node, &operation).await;
            if matches!(answer, Err(StoreError::Superseded(_))) {
                let _ = self.act(node, &Operation::Snapshot(Detail::Everything)).await;
            }
        }
    }

    async fn drain(&mut self, node: usize) {
        let Some(contents) = self.latest.clone() else { return };
        for batch in contents.line.chunks(1_000) {
            let _ = self.act(node, &Operation::Reap(batch.to_vec())).await;
        }
    }

    /// `None` when there is no room any more.
    fn choose(&mut self, node: usize) -> Option<Operation> {
        let contents = self.latest.clone()?;
        let epoch = self.nodes[node].epoch;
        Some(match self.chance.below(100) {
            0..=21 => Operation::Join(self.joiners(epoch)),
            22..=29 => Operation::Enter { limits: self.limits(), ttl: self.ttl(), batch: self.newcomers() },
            30..=49 => Operation::Tick { limits: self.limits(), ttl: self.ttl() },
            50..=64 => Operation::Claim {
                ttl: self.ttl(),
                renew: self.chance.one_in(2),
                batch: self.claimers(epoch, &contents),
            },
            65..=72 => Operation::Touch(self.touchers(epoch, &contents)),
            73..=79 => Operation::End(self.leavers(epoch, &contents)),
            80..=85 => Operation::Reap(self.silent(&contents)),
            86..=90 => Operation::Snapshot(Detail::Everything),
            91..=92 => Operation::SetPaused(self.chance.one_in(3)),
            93..=95 => Operation::Trim { keep: self.chance.below(3) * 16, at_least: 1 + self.chance.below(2) * 100 },
            96 => Operation::Flush(self.order()),
            97 if self.chance.one_in(3) => Operation::Reset,
            97 => Operation::Flush(self.order()),
            _ => Operation::Recover { hold: SHORT, burst: BURST, fresh_life: self.life() },
        })
    }

    fn order(&mut self) -> String {
        self.orders += u64::from(!self.chance.one_in(4));
        format!("order-{}", self.orders)
    }

    pub(super) fn life(&mut self) -> u32 {
        1 + u32::try_from(self.chance.below(1 << 30)).expect("small")
    }

    /// Either nothing is added or the bucket is always full: the two stores must not differ by their clocks.
    fn limits(&mut self) -> Limits {
        let rate = if self.chance.one_in(2) { 0.0 } else { FULL };
        let cap = if self.chance.one_in(2) { 0 } else { 5 + self.chance.below(30) };
        limits(rate, 1.0 + self.chance.below(BURST as u64) as f64, cap)
    }

    fn ttl(&mut self) -> Duration {
        if self.chance.one_in(4) { SHORT } else { LONG }
    }

    pub(super) fn newcomers(&mut self) -> Vec<Vid> {
        let mut new: Vec<Vid> = (0..=self.chance.below(6)).map(|_| self.newcomer()).collect();
        if self.chance.one_in(3) {
            new.extend(self.chance.some(&new.clone(), 1));
            new.extend(self.chance.some(&self.tickets.keys().copied().collect::<Vec<_>>(), 1));
        }
        new
    }

    fn newcomer(&mut self) -> Vid {
        self.visitors += 1;
        vid(self.visitors)
    }

    /// Tickets that a node of this epoch would accept.
    fn valid_tickets(&self, epoch: Epoch) -> Vec<(Vid, u64)> {
        self.tickets.iter().filter(|(_, (of, _))| *of == epoch).map(|(vid, (_, seq))| (*vid, *seq)).collect()
    }

    fn valid_tokens(&self, epoch: Epoch) -> Vec<(Vid, u64)> {
        self.tokens.iter().filter(|(_, (of, _))| *of == epoch).map(|(vid, (_, seq))| (*vid, *seq)).collect()
    }

    pub(super) fn joiners(&mut self, epoch: Epoch) -> Vec<JoinItem> {
        let mut batch: Vec<JoinItem> = self.newcomers().into_iter().map(|vid| JoinItem { vid, seq: 0 }).collect();
        let known = self.valid_tickets(epoch);
        let count = self.chance.below(8);
        batch.extend(self.chance.some(&known, count).into_iter().map(|(vid, seq)| JoinItem { vid, seq }));
        batch
    }

    fn claimers(&mut self, epoch: Epoch, contents: &Contents) -> Vec<ClaimItem> {
        let turns: Vec<(Vid, u64)> = contents.granted.iter().map(|(vid, (seq, _))| (*vid, *seq)).collect();
        let (tickets, tokens) = (self.valid_tickets(epoch), self.valid_tokens(epoch));
        let mut batch: Vec<ClaimItem> =
            self.chance.some(&turns, 6).into_iter().map(|(vid, seq)| ClaimItem { vid, seq, proof: false }).collect();
        batch.extend(self.chance.some(&turns, 1).into_iter().map(|(vid, _)| ClaimItem { vid, seq: 0, proof: false }));
        batch.extend(self.chance.some(&tickets, 2).into_iter().map(|(vid, seq)| ClaimItem { vid, seq, proof: false }));
        batch.extend(self.chance.some(&tokens, 2).into_iter().map(|(vid, seq)| ClaimItem { vid, seq, proof: true }));
        batch
    }

    fn touchers(&mut self, epoch: Epoch, contents: &Contents) -> Vec<TouchItem> {
        let sessions: Vec<(Vid, u64)> = contents.active.iter().map(|(vid, (seq, _))| (*vid, *seq)).collect();
        let (tickets, tokens, ttl) = (self.valid_tickets(epoch), self.valid_tokens(epoch), self.ttl());
        // What a token says of the beginning, or nothing.
        let began_ms = 1_000 * self.chance.below(4);
        let item = |(vid, seq), proof| TouchItem { vid, seq, ttl, proof, began_ms };
        let mut batch: Vec<TouchItem> =
            self.chance.some(&sessions, 4).into_iter().map(|who| item(who, false)).collect();
        batch.extend(self.chance.some(&tickets, 2).into_iter().map(|who| item(who, false)));
        batch.extend(self.chance.some(&tokens, 2).into_iter().map(|who| item(who, true)));
        batch
    }

    fn leavers(&mut self, epoch: Epoch, contents: &Contents) -> Vec<JoinItem> {
        let sessions: Vec<(Vid, u64)> = contents.active.iter().map(|(vid, (seq, _))| (*vid, *seq)).collect();
        let tickets = self.valid_tickets(epoch);
        let mut batch: Vec<JoinItem> =
            self.chance.some(&sessions, 2).into_iter().map(|(vid, seq)| JoinItem { vid, seq }).collect();
        batch.extend(self.chance.some(&tickets, 2).into_iter().map(|(vid, seq)| JoinItem { vid, seq }));
        batch
    }

    fn silent(&mut self, contents: &Contents) -> Vec<u64> {
        let mut seqs = self.chance.some(&contents.line, 6);
        seqs.push(contents.picture.seq + 5);
        seqs
    }
}
