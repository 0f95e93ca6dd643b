export default (component) => keep(component, Rows);

class Rows {
  constructor(root) {
    this.root = root;
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-show]");
      if (button) this.emit("choose", button.dataset.show);
    });
    this.resizes = new ResizeObserver(() => this.orders());
    this.resizes.observe(root);
  }

  destroy() { this.resizes.disconnect(); }

  show({ rows, legend }) {
    const look = JSON.stringify([rows, legend]);
    if (look === this.look) return;
    this.look = look;
    this.given = new Map();
    const key = legend?.length ? element("div", { class: "legend" }, legend.map((one) => element("span", {}, element("i", { style: `--c:${one.color}` }), one.text))) : null;
    this.root.replaceChildren(...[key, ...rows.map((row) => this.row(row))].filter(Boolean));
    this.orders();
  }

  row({ id, slim, narrow, tone, badge, title, text, bars, thumbs, action }) {
    return element("section", { class: `card row ${slim ? "slim" : ""}`, "data-id": id },
      title ? element("header", {}, badge ? element("span", { class: "badge", "data-tone": tone }, badge) : null, element("h3", {}, title)) : null,
      text && !slim ? element("p", { class: "text" }, text) : null,
      bars?.length ? element("div", { class: narrow ? "bars narrow" : "bars" }, bars.map((bar) => this.bar(bar))) : null,
      action || thumbs?.length ? element("div", { class: "act" },
        thumbs?.length ? element("div", { class: "thumbs", "aria-hidden": "true" }, thumbs.map((t) => picture(t))) : null,
        action ? element("button", { type: "button", "data-show": id, "aria-label": `${action}: ${title}` }, action) : null) : null);
  }

  bar({ name, kind, tone, num, note, value, low, high, ref, quantiles, share, order, rows }) {
    const c = tone === undefined ? "var(--accent)" : typeof tone === "number" ? color(tone) : `var(--${tone})`;
    let track;
    if (kind === "order") {
      track = element("canvas", { class: "order", role: "img", "aria-label": note ?? name });
      this.given.set(track, { order, rows });
      track.addEventListener("click", (event) => {
        const at = Math.floor((event.offsetX / track.clientWidth) * rows.length);
        if (rows[at] !== undefined) this.emit("choose", `row:${rows[at]}`);
      });
    } else {
      const mark = (cls, from, to) => element("i", { class: cls, style: `--c:${c};left:${(from * 100).toFixed(2)}%` + (to === undefined ? "" : `;width:${(Math.max(to - from, 0) * 100).toFixed(2)}%`) });
      const inside = [];
      if (kind === "share") inside.push(mark("fill", 0, value));
      if (kind === "parts") {
        let from = 0;
        share.forEach((s, i) => {
          inside.push(element("i", { class: "part", style: `--c:${color(i)};left:${(from * 100).toFixed(2)}%;width:${(s * 100).toFixed(2)}%` }));
          from += s;
        });
      }
      if (kind === "interval" && low !== null) inside.push(mark("whisker", low, high));
      if (kind === "interval") inside.push(mark("dot", value));
      if (kind === "box") inside.push(mark("whisker", quantiles[0], quantiles[4]), mark("box", quantiles[1], quantiles[3]), mark("dot", quantiles[2]));
      if (ref !== undefined && ref !== null) inside.push(element("i", { class: "tick", style: `left:${(ref * 100).toFixed(2)}%` }));
      track = element("div", { class: "track" }, inside);
    }
    return element("div", { class: "bar" }, element("span", { class: "name" }, name), track, element("span", { class: "num" }, num ? element("b", {}, num) : null, note && kind !== "order" ? ` ${note}` : kind === "order" ? note : null));
  }

  // Right and wrong in the order of capture, one line an image.
  orders() {
    if (!this.given?.size) return;
    const ink = document.createElement("span");
    this.root.append(ink);
    const resolve = (value) => { ink.style.color = value; return getComputedStyle(ink).color; };
    const colors = { 1: resolve("color-mix(in srgb, var(--accent) 45%, var(--panel))"), 0: resolve("var(--wrong)"), 2: resolve("var(--faint)") };
    ink.remove();
    for (const [canvas, { order }] of this.given) {
      const width = Math.round(canvas.clientWidth * devicePixelRatio), height = Math.round(22 * devicePixelRatio);
      if (!width) continue;
      canvas.width = width;
      canvas.height = height;
      const pen = canvas.getContext("2d"), step = width / order.length;
      for (const state of ["2", "1", "0"]) {
        pen.fillStyle = colors[state];
        for (let i = 0; i < order.length; i++) {
          // An error is never thinner than two points, however many images share the line.
          if (order[i] === state) pen.fillRect(i * step, 0, Math.max(step, state === "0" ? 2 * devicePixelRatio : 0) + 0.3, height);
        }
      }
    }
  }
}
