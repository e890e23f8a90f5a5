// The boxes as text, in a grid that is navigated with the arrow keys.

import { css } from "./boxes.js";
import { element, score, size } from "./format.js";

export class BoxList {
  #rows = [];
  #shown = new Set();
  #active = -1;

  /** @param {HTMLElement} grid  @param {HTMLElement} body  the grid's row group */
  constructor(grid, body) {
    this.grid = grid;
    this.body = body;
  }

  /** Creates one hidden row per box. */
  fill(boxes, scores, colors) {
    this.focus(-1);
    this.#shown = new Set();
    this.#rows = boxes.map((b, i) => {
      const swatch = element("span", "swatch");
      swatch.style.backgroundColor = css(colors[i]);
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

  /** Shows the rows of these ranks only. */
  show(ranks) {
    const visible = new Set(ranks);
    for (const i of this.#shown) {
      this.#rows[i].hidden = !visible.has(i);
    }
    for (const i of ranks) {
      this.#rows[i].hidden = false;
    }
    this.#shown = visible;
    this.grid.setAttribute("aria-rowcount", ranks.length + 1);
  }

  /** Marks the row of a rank (−1: none) and optionally scrolls it into view. */
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

  /** Returns the rank of an event's row, or −1. */
  rankOf(event) {
    const row = event.target.closest(".row");
    return row ? Number(row.dataset.rank) : -1;
  }
}
