// What is on: the concerts, and the evenings of one.

import { call, serverNow } from "../api.js";
import { el, heading } from "../dom.js";
import { clock, day, moment } from "../format.js";

const arrow = () => el("span", { class: "arrow", "aria-hidden": "true", text: "→" });

/** What there is to know of the sale before choosing seats in vain. */
function sale(start, end) {
  if (start && Date.parse(start) > serverNow()) return ` · on sale from ${moment(start)}`;
  if (end && Date.parse(end) <= serverNow()) return " · the sale is over";
  return "";
}

export async function concerts(main) {
  const { concerts } = await call("GET", "/concerts");
  const cards = concerts.map(({ id, title, artist, venue }) =>
    el("li", {}, el("a", { class: "ticket", href: `#/concerts/${id}` }, el("h2", { text: title }), el("p", { text: artist }), el("p", { class: "stub", text: venue }, arrow()))),
  );
  main.replaceChildren(
    heading("What’s on"),
    el("p", { class: "lead", text: "Choose a concert, then an evening, then your seats." }),
    concerts.length ? el("ul", { class: "cards" }, cards) : el("p", { class: "card", text: "Nothing is on sale at the moment." }),
  );
}

export async function evenings(main, [concert]) {
  const [{ concerts }, { schedules }] = await Promise.all([call("GET", "/concerts"), call("GET", `/concerts/${concert}/schedules`)]);
  const found = concerts.find(({ id }) => String(id) === concert);
  const rows = schedules.map(({ id, starts_at, sales_start, sales_end }) =>
    el("li", {}, el("a", { class: "evening", href: `#/seats/${concert}/${id}` }, el("b", { text: day(starts_at) }), el("span", { text: `${clock(starts_at)}${sale(sales_start, sales_end)}` }), arrow())),
  );
  main.replaceChildren(
    el("a", { class: "back", href: "#/", text: "All concerts" }),
    heading(found?.title ?? "Concert"),
    el("p", { class: "lead", text: found ? `${found.artist} · ${found.venue}` : "" }),
    rows.length ? el("ul", { class: "evenings" }, rows) : el("p", { class: "card", text: "There is no evening yet." }),
  );
}
