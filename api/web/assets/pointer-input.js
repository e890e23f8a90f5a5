// Pointer, wheel and keyboard input on the canvas: it zooms and pans the image, or is passed
// to the active panel.

const $ = (id) => document.getElementById(id);
const dragThreshold = 3; // CSS pixels that a click may move

/**
 * Adds the event listeners.
 *
 * @param {import("./view.js").View} view
 * @param {() => {hover: Function, select: Function, deselect: Function, handleKey: (key: string) => boolean}} panel  returns
 *   the active panel, which takes points in image pixels
 */
export function listen(view, panel) {
  const stage = view.overlay;
  const down = new Map(); // last position by pointer
  let dragged = false;

  stage.addEventListener("pointerdown", (e) => {
    down.set(e.pointerId, [e.clientX, e.clientY]);
    dragged = down.size > 1;
    stage.setPointerCapture(e.pointerId);
  });
  stage.addEventListener("pointermove", (e) => {
    const last = down.get(e.pointerId);
    if (!last) {
      if (e.pointerType !== "touch") { // touch selects, it does not hover
        panel().hover(view.locate(e.clientX, e.clientY));
      }
      return;
    }
    const [dx, dy] = [e.clientX - last[0], e.clientY - last[1]];
    const other = [...down].find(([id]) => id !== e.pointerId)?.[1];
    if (other) {
      const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
      const now = Math.hypot(e.clientX - other[0], e.clientY - other[1]);
      view.zoom(now / Math.max(before, 1), (e.clientX + other[0]) / 2, (e.clientY + other[1]) / 2);
    } else if (!view.fits && (dragged || Math.hypot(dx, dy) > dragThreshold)) {
      view.pan(dx, dy);
      dragged = true;
    } else {
      return;
    }
    down.set(e.pointerId, [e.clientX, e.clientY]);
  });
  stage.addEventListener("pointerup", (e) => {
    down.delete(e.pointerId);
    if (!dragged && e.button === 0) {
      panel().select(view.locate(e.clientX, e.clientY));
    }
  });
  stage.addEventListener("pointercancel", (e) => down.delete(e.pointerId));
  stage.addEventListener("pointerleave", () => panel().hover(null));

  const fixedLayout = matchMedia("(min-width: 48rem)"); // as in style.css: the page does not scroll
  stage.addEventListener("wheel", (e) => {
    if (fixedLayout.matches || e.ctrlKey) {
      e.preventDefault();
      const lines = e.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
      view.zoom(Math.exp(-e.deltaY * lines * (e.ctrlKey ? 0.01 : 0.002)), e.clientX, e.clientY); // Ctrl: a pinch
    }
  }, { passive: false });

  stage.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) {
      return;
    }
    const zoom = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[e.key];
    if (zoom) {
      view.zoom(zoom);
    } else if (e.key === "0") {
      view.fit();
    } else if (e.key === "Escape") {
      panel().deselect();
    } else if (!panel().handleKey(e.key)) {
      return;
    }
    e.preventDefault();
  });

  $("zoom-in").addEventListener("click", () => view.zoom(1.5));
  $("zoom-out").addEventListener("click", () => view.zoom(1 / 1.5));
  $("zoom-fit").addEventListener("click", () => view.fit());
  view.onzoom = () => {
    $("zoom-level").textContent = `${Math.round((100 * view.scale) / devicePixelRatio)} %`;
    stage.classList.toggle("zoomed", !view.fits);
  };
  new ResizeObserver(view.onzoom).observe(stage);
}
