// The seat map: a grid of a thousand seats with one tab stop. Shows and lets choose; what is chosen is the caller's.

import { el } from "./dom.js";
import { count, money, place } from "./format.js";

const WORDS = { available: "free", held: "held by somebody else", reserved: "sold", mine: "held for you" };
const PAGE_ROWS = 5;

export class SeatMap {
  /** `toggle(seat, cell)` is called when a seat is chosen or given up. */
  constructor(seats, { currency, toggle }) {
    this.currency = currency;
    this.toggle = toggle;
    this.cells = new Map();
    this.rows = [];
    this.element = el("div", { role: "grid", class: "seats", "aria-label": "Seat map", "aria-multiselectable": "true" });
    this.element.append(...this.sections(seats));
    this.element.style.setProperty("--columns", Math.max(...this.rows.map((row) => row.length), 1));
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("click", (event) => this.press(event));
    this.frame = el("div", { class: "frame" }, el("div", { class: "stage", "aria-hidden": "true", text: "Stage" }), this.element);
    this.stop(this.rows[0]?.[0]);
  }

  sections(seats) {
    const groups = [];
    for (const seat of seats) {
      const { row, number } = place(seat.seat);
      let group = groups.at(-1);
      if (group?.section !== seat.section) groups.push((group = { section: seat.section, price: seat.price, rows: [] }));
      if (group.rows.at(-1)?.name !== row) group.rows.push({ name: row, seats: [] });
      group.rows.at(-1).seats.push({ ...seat, number });
    }
    return groups.map((group, index) => {
      const price = money(group.price, this.currency);
      const title = el("div", { role: "row" }, el("span", { role: "columnheader", class: "section" }, el("b", { text: group.section }), ` ${price}`));
      const rows = group.rows.map((row) => this.row(row));
      return el("div", { role: "rowgroup", "data-tint": index % 4, "aria-label": `Section ${group.section}, ${price}` }, title, rows);
    });
  }

  row({ name, seats }) {
    const half = Math.ceil(seats.length / 2);
    const cells = seats.map((seat, index) => this.cell(seat, index === half));
    this.rows.push(cells);
    const label = () => el("span", { class: "label", "aria-hidden": "true", text: name });
    return el("div", { role: "row", "aria-label": `Row ${name}` }, label(), cells, label());
  }

  cell(seat, aisle) {
    const cell = el("span", { role: "gridcell", tabindex: "-1", text: seat.number, class: aisle ? "seat aisle" : "seat" });
    cell.seat = seat;
    this.cells.set(seat.seat, cell);
    this.show(cell, seat.status, false);
    return cell;
  }

  /** Takes over what changed; `chosen` and `mine` are sets of seat names. */
  update(seats, chosen, mine) {
    for (const seat of seats) {
      const cell = this.cells.get(seat.seat);
      if (!cell) continue;
      const status = mine.has(seat.seat) && seat.status === "held" ? "mine" : seat.status;
      const isChosen = chosen.has(seat.seat);
      if (status !== cell.dataset.status || isChosen !== (cell.getAttribute("aria-selected") === "true")) {
        this.show(cell, status, isChosen);
      }
    }
  }

  show(cell, status, chosen) {
    const { seat, section } = cell.seat;
    cell.dataset.status = status;
    cell.setAttribute("aria-selected", String(chosen));
    cell.setAttribute("aria-disabled", String(status !== "available"));
    cell.setAttribute("aria-label", `${seat}, ${section}, ${money(cell.seat.price, this.currency)}, ${chosen ? "chosen" : WORDS[status]}`);
  }

  /** Narrow screens begin with the whole hall; a touch goes closer. */
  closer(seat) {
    this.frame.dataset.near = "";
    this.frame.dispatchEvent(new Event("zoom"));
    const cell = this.cells.get(seat) ?? this.rows[0]?.[0];
    if (!cell) return;
    this.stop(cell);
    cell.focus({ preventScroll: true });
    cell.scrollIntoView({ block: "center", inline: "center" });
  }

  whole() {
    delete this.frame.dataset.near;
    this.frame.dispatchEvent(new Event("zoom"));
  }

  /** How many are free, for the caption. */
  free() {
    return count([...this.cells.values()].filter((cell) => cell.dataset.status === "available").length, "seat");
  }

  press(event) {
    const cell = event.target.closest(".seat");
    if (!cell) return;
    if (getComputedStyle(this.frame).getPropertyValue("--far").trim() === "1") return this.closer(cell.seat.seat);
    this.stop(cell);
    this.toggle(cell.seat, cell.dataset.status);
  }

  key(event) {
    const cell = event.target.closest(".seat");
    if (!cell || event.altKey || event.metaKey) return;
    const row = this.rows.findIndex((cells) => cells.includes(cell));
    const column = this.rows[row].indexOf(cell);
    const last = this.rows.length - 1;
    const moves = {
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      PageUp: [Math.max(row - PAGE_ROWS, 0), column],
      PageDown: [Math.min(row + PAGE_ROWS, last), column],
      Home: [event.ctrlKey ? 0 : row, 0],
      End: [event.ctrlKey ? last : row, Infinity],
    };
    if (event.key === " " || event.key === "Enter") this.toggle(cell.seat, cell.dataset.status);
    else if (moves[event.key]) this.go(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  go(row, column) {
    const cells = this.rows[row];
    if (!cells || column < 0) return;
    const cell = cells[Math.min(column, cells.length - 1)];
    this.stop(cell);
    cell.focus({ preventScroll: true });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** The one cell that Tab comes to. */
  stop(cell) {
    this.current?.setAttribute("tabindex", "-1");
    this.current = cell;
    cell?.setAttribute("tabindex", "0");
  }
}
