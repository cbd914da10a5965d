// Paying for a hold while its time runs.

import { call } from "../api.js";
import { button, el, heading, notice } from "../dom.js";
import { left, money } from "../format.js";
import { hold as kept } from "../hold.js";
import { refreshBalance, withCards, withTickets } from "../user.js";
import { byCard } from "./card.js";
import { lines } from "./tickets.js";

export async function hold(main, [id], { signal, go }) {
  const [held, wallet] = await Promise.all([call("GET", `/holds/${id}`), call("GET", "/wallet")]);
  if (held.status === "paid") return go("/tickets");
  if (held.status !== "active") return over(main);
  kept.keep(held);
  document.addEventListener("holdover", () => over(main), { signal });
  const enough = wallet.balance >= held.amount;
  const pay = button(`Pay ${money(held.amount, held.currency)} from the wallet`, () => settle(held, { method: "wallet" }, go), { class: "main" });
  const back = button("Give the seats back", async () => {
    await call("DELETE", `/holds/${id}`);
    kept.drop();
    notice("The seats are free for others again.");
    go("/");
  });
  const more = held.amount - wallet.balance;
  const charge = () => button(`Add ${money(more, held.currency)} to the wallet`, async () => {
    await call("POST", "/wallet/charges", { amount: more });
    await refreshBalance();
    await hold(main, [id], { signal, go });
  }, { class: "main" });
  main.replaceChildren(
    heading("Your seats are held"),
    el("p", { class: "lead", text: "They are yours alone until the time is up." }),
    el("div", { class: "card checkout" }, countdown(held, signal), lines(held), el("p", { class: "purse", text: `In your wallet: ${money(wallet.balance, wallet.currency)}` }), enough ? pay : charge(), withCards && byCard(held, (payment) => settle(held, payment, go)), back),
  );
}

async function settle(held, payment, go) {
  let reservation;
  try {
    reservation = await call("POST", "/reservations", { hold_id: held.hold_id, payment });
  } catch (problem) {
    // Whether it was paid is not known when nobody answered: the list of tickets tells.
    if (problem.kind === "hold-expired") kept.drop();
    throw problem;
  }
  kept.drop();
  await refreshBalance();
  go(withTickets ? `/tickets/${reservation.reservation_id}` : "/tickets");
  notice(`Paid. ${held.seats.join(", ")}: have a good evening!`);
}

function countdown(held, signal) {
  const time = el("b", { id: "time" });
  const meter = el("progress", { "aria-label": "Time left", max: kept.seconds(held) || 1 });
  const show = (seconds) => {
    time.textContent = left(seconds);
    meter.value = seconds;
    meter.classList.toggle("short", seconds <= 30);
  };
  show(kept.seconds(held));
  document.addEventListener("countdown", (event) => show(event.detail), { signal });
  return el("div", { class: "countdown" }, el("p", { role: "timer" }, time, " left to pay"), meter);
}

function over(main) {
  const title = heading("The time is up");
  main.replaceChildren(title, el("p", { class: "lead", text: "The seats went back; nothing was paid. They may still be free." }), el("a", { class: "button main", href: "#/", text: "Choose again" }));
  title.focus();
}
