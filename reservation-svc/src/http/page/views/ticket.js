// One ticket, to be shown at the gate: its QR code, large and dark on white, and what it says in words.

import { call } from "../api.js";
import { el, heading } from "../dom.js";
import { clock, count, day } from "../format.js";

export async function ticket(main, [id]) {
  const back = el("a", { class: "back", href: "#/tickets", text: "My tickets" });
  let found;
  try {
    found = await call("GET", `/reservations/${id}/ticket`);
  } catch (problem) {
    if (problem.kind !== "reservation-cancelled") throw problem;
    return main.replaceChildren(back, heading("This booking was cancelled"), el("p", { class: "lead", text: "It has no ticket any more." }));
  }
  const { seats, starts_at, token, qr_svg } = found;
  main.replaceChildren(
    back,
    heading("Your ticket"),
    el("p", { class: "lead", text: "Show this code at the gate. A picture of it on your phone is enough." }),
    el("article", { class: "ticket pass" },
      code(qr_svg, seats),
      el("h2", { text: seats.join(", ") }),
      el("p", { text: `${day(starts_at)}, ${clock(starts_at)}` }),
      el("p", { text: `Admits to ${count(seats.length, "seat")}` }),
      el("details", { class: "stub" }, el("summary", { text: "As signed text" }), el("code", { text: token }))),
  );
}

/** The service's drawing as elements of this page: its policy lets in no pictures from texts. */
function code(svg, seats) {
  const drawn = document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true);
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `QR code of the ticket for ${seats.join(", ")}`);
  for (const side of ["width", "height"]) drawn.removeAttribute(side);
  return el("div", { class: "qr" }, drawn);
}
