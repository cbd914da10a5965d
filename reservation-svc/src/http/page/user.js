// Who the visitor is, as the header shows it.

import { call, token } from "./api.js";
import { chosen } from "./chosen.js";
import { button, el } from "./dom.js";
import { money } from "./format.js";

const facts = document.documentElement.dataset;
/** Whether the service gives out users of its demo. */
export const demo = facts.demo === "true";
/** Whether it issues tickets. */
export const withTickets = facts.tickets === "true";
/** Whether it has a gateway to pay by card at. */
export const withCards = facts.card === "true";

export async function demoLogin() {
  const { token: given } = await call("POST", "/demo/login");
  token.set(given);
}

/** The balance in the header, and who that is in the footer. */
export async function refreshBalance() {
  const balance = document.getElementById("balance");
  const who = document.getElementById("who");
  if (!token.get()) {
    balance.textContent = "";
    who.replaceChildren(el("a", { href: "#/sign-in", text: "Sign in" }));
    return;
  }
  const wallet = await call("GET", "/wallet");
  balance.textContent = money(wallet.balance, wallet.currency);
  const leave = button("Sign out", () => {
    token.drop();
    sessionStorage.removeItem("hold");
    chosen.drop();
    location.hash = "#/sign-in";
    return refreshBalance();
  }, { class: "quiet" });
  who.replaceChildren(`Signed in as user ${token.user() ?? "?"} `, leave);
}
