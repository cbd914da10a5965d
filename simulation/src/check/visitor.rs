//! People: they arrive, poll, leave or stay, come in, look around, and show what they should no longer have.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waitroom_proxy::classify::RouteKind;
use waitroom_proxy::mint::Minted;
use waitroom_proxy::reception::{Held, Reception, told};
use waitroom_proxy::session::Session;

use super::node::Node;
use super::page::Page;
use super::pass;
use super::world::{World, lock};
use crate::chance::Chance;

/// What somebody is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Polls until let in.
    Faithful,
    /// Stops polling without a word.
    Vanishes,
    /// Gives the place up.
    Leaves,
    /// Is silent for longer than the room waits, then polls until let in.
    Returns,
    /// Polls in two tabs with one jar until let in.
    TwoTabs,
    /// Clears the cookies while waiting, and begins anew.
    Forgets,
}

impl Nature {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        match chance.below(100) {
            0..=54 => Self::Faithful,
            55..=66 => Self::Vanishes,
            67..=75 => Self::Leaves,
            76..=83 => Self::Returns,
            84..=92 => Self::TwoTabs,
            _ => Self::Forgets,
        }
    }

    /// Whether such a visitor must get in (I12).
    fn is_faithful(self) -> bool {
        !matches!(self, Self::Vanishes | Self::Leaves)
    }
}

/// The cookies of one browser.
#[derive(Clone, Debug, Default)]
struct Jar {
    ticket: Option<String>,
    token: Option<String>,
}

/// What all tabs of a browser share.
#[derive(Debug, Default)]
struct Browser {
    jar: Jar,
    page: Page,
    /// Let in, with the ticket that was shown for it.
    admitted: Option<(Session, Option<String>)>,
}

pub(super) struct Visitor {
    world: Arc<World>,
    number: u64,
    nature: Nature,
    chance: Chance,
    browser: Arc<Mutex<Browser>>,
}

/// How a poll ended.
enum Told {
    Wait(Duration),
    In,
}

impl Visitor {
    /// Sends somebody on the way; `after` the arrival.
    pub(super) fn send(world: &Arc<World>, number: u64, nature: Nature, after: Duration) {
        if nature.is_faithful() {
            world.history.expect(number);
        }
        world.history.count(|witness| witness.visitors += 1);
        let (chance, browser) = (world.next_person(), Arc::default());
        let visitor = Self { world: world.clone(), number, nature, chance, browser };
        tokio::spawn(async move {
            pass(after).await;
            visitor.live().await;
        });
    }

    async fn live(mut self) {
        match self.nature {
            Nature::Faithful => self.wait_and_visit(None).await,
            Nature::TwoTabs => {
                let second = Self {
                    world: self.world.clone(),
                    chance: self.world.next_person(),
                    browser: self.browser.clone(),
                    ..self
                };
                let mut tab = tokio::spawn(async move { second.second_tab().await });
                self.wait_and_visit(None).await;
                let _closed = (&mut tab).await;
            }
            Nature::Vanishes => {
                let polls = self.chance.between(1, 6);
                self.poll_times(polls).await;
            }
            Nature::Leaves => {
                let polls = self.chance.between(1, 6);
                self.poll_times(polls).await;
                self.leave().await;
            }
            Nature::Returns => {
                let polls = self.chance.between(2, 4);
                if !self.poll_times(polls).await {
                    let silence = self.world.script.settings.abandon_after.as_secs();
                    pass(Duration::from_secs(self.chance.between(silence / 2, silence * 3))).await;
                }
                self.wait_and_visit(None).await;
            }
            Nature::Forgets => {
                let polls = self.chance.between(2, 6);
                if !self.poll_times(polls).await {
                    *lock(&self.browser) = Browser::default();
                    self.world.history.count(|witness| witness.visitors += 1);
                }
                self.wait_and_visit(None).await;
            }
        }
    }

    async fn second_tab(mut self) {
        pass(Duration::from_millis(self.chance.between(0, 3_000))).await;
        let polls = self.chance.between(3, 20);
        self.poll_times(polls).await;
    }

    /// Polls this often or until let in; `true`: is in.
    async fn poll_times(&mut self, polls: u64) -> bool {
        self.wait(Some(polls)).await
    }

    async fn wait_and_visit(&mut self, polls: Option<u64>) {
        if self.wait(polls).await {
            self.world.history.came_in(self.number);
            self.visit().await;
        }
    }

    async fn wait(&mut self, polls: Option<u64>) -> bool {
        if self.open_the_page().await {
            return true;
        }
        let mut left = polls;
        while left != Some(0) {
            match self.poll().await {
                Told::In => return true,
                Told::Wait(pause) => pass(pause).await,
            }
            left = left.map(|left| left - 1);
        }
        false
    }

    /// The first request, to a protected path.
    async fn open_the_page(&mut self) -> bool {
        loop {
            if let Some((number, node)) = self.travel().await {
                let jar = lock(&self.browser).jar.clone();
                let shown = node.verify(jar.ticket.as_deref(), jar.token.as_deref());
                let reception = node.counter().receive(RouteKind::Protected, shown).await;
                if self.world.node(number).is_some() {
                    return matches!(self.take_in(&node, &jar, reception), Some(Told::In));
                }
            }
            pass(Duration::from_secs(1)).await;
        }
    }

    async fn poll(&mut self) -> Told {
        let trouble = Told::Wait(Duration::from_secs(2));
        let Some((number, node)) = self.travel().await else { return trouble };
        let jar = lock(&self.browser).jar.clone();
        let shown = node.verify(jar.ticket.as_deref(), jar.token.as_deref());
        let reception = node.counter().poll(shown).await;
        if self.world.node(number).is_none() {
            // Died with our connection.
            return trouble;
        }
        self.take_in(&node, &jar, reception).unwrap_or(trouble)
    }

    /// To one of the nodes, over a network.
    async fn travel(&mut self) -> Option<(usize, Arc<Node>)> {
        pass(Duration::from_millis(self.chance.between(3, 60))).await;
        self.world.any_node(&mut self.chance)
    }

    fn take_in(&mut self, node: &Node, jar: &Jar, reception: Reception) -> Option<Told> {
        self.world.history.count(|witness| witness.answers += 1);
        match reception {
            Reception::Held(held) => Some(self.held(node, &held)),
            Reception::Admitted { minted, news } => {
                self.admitted(node, jar, &minted, news);
                Some(Told::In)
            }
            Reception::Open | Reception::Broken => {
                self.world.history.break_promise("I10", "a protected request was not guarded".to_owned());
                None
            }
        }
    }

    fn held(&mut self, node: &Node, held: &Held) -> Told {
        let history = &self.world.history;
        let status = told::waiting(&node.room, held, node.clock.now_ms(), self.chance.unit());
        let mut browser = lock(&self.browser);
        if held.news {
            browser.jar.ticket = Some(held.ticket.seal(node.mint.sealer(), node.room.name().as_str()));
        }
        browser.page.update(history, held, &status);
        if !held.ticket.is_pre() && !held.blind {
            history.heard(held.ticket.epoch, held.ticket.seq);
        }
        // A pre-ticket polls at once; a blind answer with one does not.
        Told::Wait(Duration::from_millis(status.poll_after_ms.max(20)))
    }

    fn admitted(&mut self, node: &Node, jar: &Jar, minted: &Minted, news: bool) {
        let (history, session) = (&self.world.history, minted.session);
        if session.seq == 0 || !history.was_let_in(session.epoch, session.seq, session.vid) {
            history
                .break_promise("I10", format!("a session of number {} that nobody was given a turn for", session.seq));
        }
        if (session.expires_s + 1) * 1_000 <= node.clock.now_ms() {
            history.break_promise("I10", format!("a session of number {} that is over", session.seq));
        }
        let mut browser = lock(&self.browser);
        if news {
            browser.jar.token = Some(session.seal(node.mint.sealer(), node.room.name().as_str(), &minted.token));
            browser.jar.ticket = None;
        }
        let ticket = jar.ticket.clone().or_else(|| browser.admitted.as_ref().and_then(|(_, ticket)| ticket.clone()));
        browser.admitted = Some((session, ticket));
    }

    /// Looks around for a while, then the session ends one way or the other.
    async fn visit(&mut self) {
        for _ in 0..self.chance.between(1, 5) {
            pass(Duration::from_millis(self.chance.between(500, 8_000))).await;
            if !self.browse().await {
                return;
            }
        }
        let Some((session, ticket)) = lock(&self.browser).admitted.clone() else { return };
        let token = lock(&self.browser).jar.token.clone();
        if self.chance.happens(0.7) {
            // The site says that the visit is over, or the visitor leaves: the same to the queue.
            let Some((number, node)) = self.travel().await else { return };
            node.room.end(session.epoch, session.vid, session.seq);
            self.replay(Some((number, node)), session, ticket, token).await;
        } else {
            let left = session.expires_s * 1_000;
            pass(Duration::from_millis(left.saturating_sub(self.world.server.clock.now_ms()) + 70_000)).await;
            self.replay(None, session, ticket, None).await;
        }
    }

    /// One request of somebody who is in; `false`: no longer.
    async fn browse(&mut self) -> bool {
        let Some((number, node)) = self.travel().await else { return false };
        let jar = lock(&self.browser).jar.clone();
        let shown = node.verify(jar.ticket.as_deref(), jar.token.as_deref());
        let Some(session) = shown.session.as_ref().map(|shown| shown.session) else { return false };
        let reception = node.counter().receive(RouteKind::Protected, shown).await;
        if self.world.node(number).is_none() {
            return true;
        }
        let thrown_out = matches!(reception, Reception::Held(_));
        let current = node.room.view().epoch == session.epoch;
        if thrown_out && current && self.world.history.calm_for(Duration::from_secs(90)) {
            let number = session.seq;
            self.world.history.break_promise("I12", format!("the live session of number {number} was thrown out"));
        }
        matches!(self.take_in(&node, &jar, reception), Some(Told::In))
    }

    /// Shows what is over: at once where it ended, later anywhere (I8).
    async fn replay(
        &mut self,
        at: Option<(usize, Arc<Node>)>,
        session: Session,
        ticket: Option<String>,
        token: Option<String>,
    ) {
        if let Some((number, node)) = at
            && self.world.node(number).is_some()
        {
            self.show_again(&node, session, None, token.as_deref(), true).await;
        }
        for _ in 0..3 {
            pass(Duration::from_secs(self.chance.between(3, 40))).await;
            let Some((_, node)) = self.travel().await else { return };
            self.show_again(&node, session, ticket.as_deref(), None, false).await;
            self.show_again(&node, session, ticket.as_deref(), token.as_deref(), false).await;
        }
    }

    async fn show_again(
        &self,
        node: &Node,
        session: Session,
        ticket: Option<&str>,
        token: Option<&str>,
        ended_here: bool,
    ) {
        let history = &self.world.history;
        history.count(|witness| witness.replays += 1);
        // A node that is not in touch answers from what it saw last, and says so.
        let in_touch = history.calm_for(Duration::from_secs(3));
        let surely_ended = in_touch && history.surely_ended(session.epoch, session.seq);
        let surely_spent = in_touch && history.surely_spent(session.epoch, session.seq);
        let reception = node.counter().receive(RouteKind::Protected, node.verify(ticket, token)).await;
        match reception {
            Reception::Admitted { minted, .. } if minted.session.vid == session.vid && (ended_here || surely_ended) => {
                let number = session.seq;
                history.break_promise("I8", format!("the ended session of number {number} was let in again"));
            }
            Reception::Held(held)
                if held.ticket.vid == session.vid
                    // A pre-ticket shown again is somebody new at the tail, with another number.
                    && held.ticket.seq == session.seq
                    && held.position.is_some()
                    && surely_spent =>
            {
                let number = session.seq;
                history.break_promise("I8", format!("the spent ticket of number {number} waits again"));
            }
            _ => {}
        }
    }

    async fn leave(&mut self) {
        let Some((_, node)) = self.travel().await else { return };
        let jar = lock(&self.browser).jar.clone();
        let shown = node.verify(jar.ticket.as_deref(), jar.token.as_deref());
        if let Some(shown) = shown.session {
            node.room.end(shown.session.epoch, shown.session.vid, shown.session.seq);
        }
        match shown.ticket {
            Some(ticket) if ticket.is_pre() => node.room.end(node.room.view().epoch, ticket.vid, 0),
            Some(ticket) => node.room.end(ticket.epoch, ticket.vid, ticket.seq),
            None => {}
        }
    }

    /// Those at the door when a room is about to be closed: they poll until told where they stand.
    pub(super) async fn stand_in_line(world: &Arc<World>, number: u64) -> Option<u64> {
        let mut visitor = Self {
            world: world.clone(),
            number,
            nature: Nature::Vanishes,
            chance: world.next_person(),
            browser: Arc::default(),
        };
        visitor.poll_times(3).await;
        let jar = lock(&visitor.browser).jar.clone();
        let (_, node) = world.any_node(&mut visitor.chance)?;
        let ticket = node.verify(jar.ticket.as_deref(), None).ticket?;
        (!ticket.is_pre()).then_some(ticket.seq)
    }
}
