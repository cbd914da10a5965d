// The wallet: balance, adding money, and where it went.

import { call } from "../api.js";
import { button, el, heading, notice } from "../dom.js";
import { moment, money } from "../format.js";
import { refreshBalance } from "../user.js";

const KINDS = { charge: "Added", payment: "Paid for seats", refund: "Given back" };
const SUMS = [50_000, 100_000, 500_000];
/** Lines at a time. */
const PAGE = 20;

export async function wallet(main) {
  const { balance, currency } = await call("GET", "/wallet");
  const add = SUMS.map((amount) => button(`Add ${money(amount, currency)}`, async () => {
    await call("POST", "/wallet/charges", { amount });
    notice(`${money(amount, currency)} added.`);
    await refreshBalance();
    await wallet(main);
  }));
  const row = ({ kind, amount, balance_after, created_at }) => el("tr", {}, el("td", { text: moment(created_at) }), el("td", { text: KINDS[kind] ?? kind }), el("td", { text: money(amount, currency) }), el("td", { class: "wide", text: money(balance_after, currency) }));
  const rows = el("tbody", {});
  const more = button("Show more", () => page(more.dataset.cursor), { hidden: true });
  const page = async (cursor) => {
    const { transactions, next_cursor } = await call("GET", `/wallet/transactions?limit=${PAGE}${cursor ? `&cursor=${cursor}` : ""}`);
    rows.append(...transactions.map(row));
    more.hidden = !next_cursor;
    more.dataset.cursor = next_cursor ?? "";
  };
  await page("");
  main.replaceChildren(
    heading("Wallet"),
    el("p", { class: "sumline", text: money(balance, currency) }),
    el("div", { class: "choices" }, add),
    el("table", { class: "card lines" },
      el("caption", { text: "The newest first" }),
      el("thead", {}, el("tr", {}, ["When", "What", "Amount"].map((text) => el("th", { scope: "col", text })), el("th", { scope: "col", class: "wide", text: "Balance" }))),
      rows),
    more,
  );
}
