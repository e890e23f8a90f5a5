// The boxes as text: a grid whose rows are walked with the arrow keys.

import { css } from "./boxes.js";
import { element, score, size } from "./text.js";

export class List {
  #rows = [];
  #shown = new Set();
  #active = -1;

  /** @param {HTMLElement} grid  @param {HTMLElement} body  of the grid, for the rows */
  constructor(grid, body) {
    this.grid = grid;
    this.body = body;
  }

  /** Makes a row a box; none is shown yet. */
  fill(boxes, scores, colours) {
    this.focus(-1);
    this.#shown = new Set();
    this.#rows = boxes.map((b, i) => {
      const swatch = element("span", "swatch");
      swatch.style.backgroundColor = css(colours[i]);
      const row = element("div", "row", ...[
        element("span", "rank", swatch, String(i + 1)),
        element("span", "", score(scores[i])),
        element("span", "", `${b[0]}, ${b[1]}`),
        element("span", "", size(b)),
      ]);
      row.setAttribute("role", "row");
      row.setAttribute("aria-selected", "false");
      for (const cell of row.children) {
        cell.setAttribute("role", "gridcell");
      }
      row.id = `box-${i}`;
      row.dataset.rank = i;
      row.hidden = true;
      return row;
    });
    this.body.replaceChildren(...this.#rows);
  }

  /** Shows the rows of these ranks and no others. */
  show(ranks) {
    const wanted = new Set(ranks);
    for (const i of this.#shown) {
      this.#rows[i].hidden = !wanted.has(i);
    }
    for (const i of ranks) {
      this.#rows[i].hidden = false;
    }
    this.#shown = wanted;
    this.grid.setAttribute("aria-rowcount", ranks.length + 1);
  }

  /** Marks the row of a rank; −1: none. Scroll says whether it is to come into sight. */
  focus(rank, scroll = false) {
    this.#rows[this.#active]?.setAttribute("aria-selected", "false");
    this.#active = rank;
    const row = this.#rows[rank];
    if (!row) {
      this.grid.removeAttribute("aria-activedescendant");
      return;
    }
    row.setAttribute("aria-selected", "true");
    this.grid.setAttribute("aria-activedescendant", row.id);
    if (scroll) {
      const above = row.offsetTop - this.grid.firstElementChild.offsetHeight - this.grid.scrollTop;
      const below = row.offsetTop + row.offsetHeight - this.grid.clientHeight - this.grid.scrollTop;
      if (above < 0 || below > 0) {
        this.grid.scrollTop += above < 0 ? above : below;
      }
    }
  }

  /** The rank of the row that an event came from, or −1. */
  rankOf(event) {
    const row = event.target.closest(".row");
    return row ? Number(row.dataset.rank) : -1;
  }
}
