// Choosing seats of one evening: the map, what is chosen, and the way to hold it.

import { call, token } from "../api.js";
import { chosen as remembered } from "../chosen.js";
import { button, el, heading, notice } from "../dom.js";
import { clock, count, day, money } from "../format.js";
import { hold as kept } from "../hold.js";
import { SeatMap } from "../seatmap.js";

/** How often the map is asked for while somebody looks at it. */
const REFRESH_MS = 5000;
/** Whoever does nothing for so long is not kept in the site by our asking. */
const IDLE_MS = 120_000;

const LEGEND = [["available", "Free", "7"], ["chosen", "Chosen", "7"], ["held", "Held by others", "7"], ["reserved", "Sold", "7"]];

export async function seats(main, [concert, schedule], { signal, go }) {
  const path = `/schedules/${schedule}/seats`;
  const [{ concerts }, { schedules }, { seats }] = await Promise.all([call("GET", "/concerts"), call("GET", `/concerts/${concert}/schedules`), call("GET", path)]);
  const title = concerts.find(({ id }) => String(id) === concert)?.title ?? "Seats";
  const evening = schedules.find(({ id }) => String(id) === schedule);
  if (!evening) return main.replaceChildren(heading("There is no such evening"), el("a", { class: "back", href: "#/", text: "All concerts" }));
  const choice = new Choice(evening, seats, go);
  const best = bestAvailable(choice, seats);
  main.replaceChildren(
    el("a", { class: "back", href: `#/concerts/${concert}`, text: "Other evenings" }),
    heading(title),
    el("p", { class: "lead", text: `${day(evening.starts_at)}, ${clock(evening.starts_at)}` }),
    best,
    legend(),
    choice.hall(),
    choice.bar,
  );
  choice.show();
  keepFresh(choice, path, signal);
}

const gone = (seats) => `Somebody was faster: ${seats.join(", ")} ${seats.length === 1 ? "is" : "are"} no longer free.`;

function legend() {
  const items = LEGEND.map(([status, word, sample]) => el("li", {}, el("i", { class: "seat", "data-status": status, "aria-hidden": "true", text: sample }), word));
  return el("ul", { class: "legend", "aria-label": "Signs in the seat map" }, items);
}

class Choice {
  constructor(evening, seats, go) {
    Object.assign(this, { evening, seats, go, chosen: new Map(), max: Number(document.documentElement.dataset.maxSeats) });
    this.map = new SeatMap(seats, { currency: evening.currency, toggle: (seat, status) => this.toggle(seat, status) });
    this.sum = el("p", { class: "sum", role: "status" });
    this.hold = button("Hold these seats", () => this.take({ seats: [...this.chosen.keys()] }), { class: "main" });
    this.bar = el("div", { class: "bar" }, this.sum, this.hold);
    this.remember();
  }

  /** What was chosen before a reload is chosen again, as far as it is free. */
  remember() {
    const names = remembered.of(this.evening.id).slice(0, this.max);
    const found = names.map((name) => this.seats.find(({ seat, status }) => seat === name && status === "available"));
    for (const seat of found) if (seat) this.chosen.set(seat.seat, seat);
    const lost = names.filter((name) => !this.chosen.has(name));
    if (lost.length) notice(gone(lost));
    else if (names.length) notice(`Chosen again for you: ${names.join(", ")}.`);
  }

  hall() {
    const zoom = button("Closer", () => ("near" in this.map.frame.dataset ? this.map.whole() : this.map.closer()), { class: "zoom" });
    this.map.frame.addEventListener("zoom", () => {
      zoom.textContent = "near" in this.map.frame.dataset ? "Whole hall" : "Closer";
    });
    this.free = el("p", { class: "free" });
    const help = el("p", { class: "hint", id: "map-help", text: "With the keyboard: arrows move, Space chooses. On a small screen, touch the hall to come closer." });
    this.map.element.setAttribute("aria-describedby", "map-help");
    return el("section", { class: "hall", "aria-label": "Hall" }, el("div", { class: "caption" }, this.free, zoom), this.map.frame, help);
  }

  toggle(seat, status) {
    if (this.chosen.delete(seat.seat)) return this.show();
    if (status !== "available") return notice(`Seat ${seat.seat} is ${status === "mine" ? "held for you already" : status === "held" ? "held by somebody else at the moment" : "sold"}.`);
    if (this.chosen.size >= this.max) return notice(`One booking has at most ${count(this.max, "seat")}. Give one up to choose another.`);
    this.chosen.set(seat.seat, seat);
    this.show();
  }

  /** Takes over the newest map; seats that others took are given up. */
  refresh(seats) {
    this.seats = seats;
    const lost = seats.filter(({ seat, status }) => status !== "available" && this.chosen.delete(seat)).map(({ seat }) => seat);
    if (lost.length) notice(gone(lost));
    this.show();
  }

  show() {
    remembered.keep(this.evening.id, [...this.chosen.keys()]);
    const mine = new Set(kept.of(this.evening.id)?.seats ?? []);
    this.map.update(this.seats, new Set(this.chosen.keys()), mine);
    const total = [...this.chosen.values()].reduce((sum, { price }) => sum + price, 0);
    const text = this.chosen.size ? `${[...this.chosen.keys()].join(", ")} · ${money(total, this.evening.currency)}` : "No seat chosen yet";
    if (this.sum.textContent !== text) this.sum.textContent = text;
    this.hold.disabled = this.chosen.size === 0;
    this.hold.textContent = this.chosen.size ? `Hold ${count(this.chosen.size, "seat")}` : "Hold seats";
    this.free.textContent = `${this.map.free()} free`;
  }

  /** Asks for a hold: of these seats, or of the best. */
  async take(wish) {
    if (!token.get()) return this.go("/sign-in");
    try {
      const held = await call("POST", `/schedules/${this.evening.id}/holds`, wish);
      kept.keep(held);
      this.chosen.clear();
      remembered.drop();
      this.go(`/hold/${held.hold_id}`);
    } catch (problem) {
      if (problem.kind === "seat-taken") {
        const { seats } = await call("GET", `/schedules/${this.evening.id}/seats`);
        this.refresh(seats);
      }
      throw problem;
    }
  }
}

/** "Three seats in R": the service chooses. */
function bestAvailable(choice, seats) {
  const sections = [...new Set(seats.map(({ section }) => section))];
  const price = (name) => money(Math.min(...seats.filter(({ section }) => section === name).map((seat) => seat.price)), choice.evening.currency);
  const number = el("select", { id: "best-count" }, Array.from({ length: choice.max }, (_, index) => el("option", { value: index + 1, text: count(index + 1, "seat"), selected: index === Math.min(1, choice.max - 1) })));
  const section = el("select", { id: "best-section" }, sections.map((name) => el("option", { value: name, text: `${name} · ${price(name)}` })));
  const find = button("Find and hold", () => choice.take({ count: Number(number.value), section: section.value }));
  return el("section", { class: "card best", "aria-labelledby": "best-title" },
    el("h2", { id: "best-title", text: "Best available" }),
    el("div", {}, el("label", { for: "best-count", text: "Seats together" }), number),
    el("div", {}, el("label", { for: "best-section", text: "Section" }), section),
    find);
}

function keepFresh(choice, path, signal) {
  let touched = Date.now();
  for (const event of ["pointerdown", "pointermove", "keydown", "scroll"]) {
    document.addEventListener(event, () => (touched = Date.now()), { signal, passive: true, capture: true });
  }
  const again = async () => {
    if (signal.aborted) return;
    if (!document.hidden && Date.now() - touched < IDLE_MS) {
      try {
        const { seats } = await call("GET", path);
        if (!signal.aborted) choice.refresh(seats);
      } catch (problem) {
        if (problem.handled) return;
      }
    }
    setTimeout(again, REFRESH_MS);
  };
  setTimeout(again, REFRESH_MS);
}
