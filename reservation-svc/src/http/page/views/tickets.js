// What the visitor bought.

import { call } from "../api.js";
import { button, el, heading, notice } from "../dom.js";
import { count, moment, money } from "../format.js";
import { refreshBalance, withTickets } from "../user.js";

/** Seats with their prices and the sum. */
export function lines({ lines, amount, currency }) {
  const row = ({ seat, section, price }) => el("tr", {}, el("th", { scope: "row", text: seat }), el("td", { text: section }), el("td", { text: money(price, currency) }));
  return el("table", { class: "lines" },
    el("caption", { class: "hidden", text: "Seats and prices" }),
    el("thead", {}, el("tr", {}, ["Seat", "Section", "Price"].map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, lines.map(row)),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: "2", text: "Together" }), el("td", { text: money(amount, currency) }))));
}

export async function tickets(main) {
  const cards = el("ul", { class: "cards" });
  const more = button("Show more", () => page(more.dataset.cursor), { hidden: true });
  const page = async (cursor) => {
    const { reservations, next_cursor } = await call("GET", `/reservations?limit=20${cursor ? `&cursor=${cursor}` : ""}`);
    cards.append(...reservations.map((reservation) => card(reservation)));
    more.hidden = !next_cursor;
    more.dataset.cursor = next_cursor ?? "";
    return reservations.length;
  };
  const found = await page("");
  const none = el("p", { class: "card" }, "You have no tickets yet. ", el("a", { href: "#/", text: "See what’s on" }));
  main.replaceChildren(heading("My tickets"), found ? cards : none, more);
}

/** Where the money of a cancelled booking goes: the way that it came. */
const wayBack = ({ payment }) => (payment.method === "card" ? "goes back to your card" : "is in your wallet");

/** Asks once more before it gives the tickets back. */
function giveBack({ reservation_id, amount, currency, seats, payment }, redraw) {
  const place = el("div", { class: "choices" });
  const ask = button("Cancel this booking", () => {
    const yes = button(`Yes, give back ${money(amount, currency)}`, async () => {
      redraw(await call("POST", `/reservations/${reservation_id}/cancel`));
      notice(`Cancelled. ${seats.join(", ")} went back, and ${money(amount, currency)} ${wayBack({ payment })}.`);
      await refreshBalance();
    });
    const no = button("Keep it", () => {
      place.replaceChildren(ask);
      ask.focus();
    });
    place.replaceChildren(yes, no);
    yes.focus();
  }, { class: "quiet" });
  place.append(ask);
  return place;
}

/** In a few words, what became of it. */
function state({ status, payment, created_at }) {
  const word = status !== "cancelled" ? (payment.method === "card" ? "Paid by card" : "Paid") : `Cancelled, money ${payment.method === "card" ? "goes back to your card" : "given back"}`;
  return `${word} · bought ${moment(created_at)}`;
}

function card(reservation) {
  const { reservation_id, seats, status } = reservation;
  const made = el("li", {}, el("article", { class: "ticket", "data-state": status },
    el("h2", { text: seats.join(", ") }),
    el("p", { class: "state", text: state(reservation) }),
    status === "paid" && withTickets && el("a", { class: "button main", href: `#/tickets/${reservation_id}`, text: "Show the ticket" }),
    el("details", {}, el("summary", { text: count(seats.length, "seat") + " in detail" }), lines(reservation), el("p", { class: "stub", text: `Booking ${reservation_id}` }))));
  if (status === "paid") {
    made.firstChild.append(giveBack(reservation, (cancelled) => {
      const drawn = card(cancelled);
      made.replaceWith(drawn);
      drawn.querySelector("h2").setAttribute("tabindex", "-1");
      drawn.querySelector("h2").focus();
    }));
  }
  return made;
}
