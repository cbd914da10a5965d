// The wallet: balance, adding money, and where it went.

import { call } from "../api.js";
import { button, el, heading, notice } from "../dom.js";
import { moment, money } from "../format.js";
import { refreshBalance } from "../user.js";

const KINDS = { charge: "Added", payment: "Paid for seats", refund: "Given back" };
const SUMS = [50_000, 100_000, 500_000];

export async function wallet(main) {
  const [{ balance, currency }, { transactions }] = await Promise.all([call("GET", "/wallet"), call("GET", "/wallet/transactions?limit=50")]);
  const add = SUMS.map((amount) => button(`Add ${money(amount, currency)}`, async () => {
    await call("POST", "/wallet/charges", { amount });
    notice(`${money(amount, currency)} added.`);
    await refreshBalance();
    await wallet(main);
  }));
  const row = ({ kind, amount, balance_after, created_at }) => el("tr", {}, el("td", { text: moment(created_at) }), el("td", { text: KINDS[kind] ?? kind }), el("td", { text: money(amount, currency) }), el("td", { class: "wide", text: money(balance_after, currency) }));
  main.replaceChildren(
    heading("Wallet"),
    el("p", { class: "sumline", text: money(balance, currency) }),
    el("div", { class: "choices" }, add),
    el("table", { class: "card lines" },
      el("caption", { text: "The newest first" }),
      el("thead", {}, el("tr", {}, ["When", "What", "Amount"].map((text) => el("th", { scope: "col", text })), el("th", { scope: "col", class: "wide", text: "Balance" }))),
      el("tbody", {}, transactions.map(row))),
  );
}
