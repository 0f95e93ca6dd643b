// The viewer of one file: image, layers, reading, cells. Everything but the change of file happens in the browser.
//
// data is what leuk.overlay.to_bytes wrote: "LEUK", uint32 length, JSON header, pictures.

const CELL = "#ffd400", NUCLEUS = "#00e5ff";
const CLASS_COLORS = { benign: "#56b4e9", early_pre_b: "#e69f00", pre_b: "#2dbe96", pro_b: "#de9ac2" };
const PAGE = 24;
const MAX_SCALE = 48;

// Choices outlive a change of file, and a viewer that leaves the page and comes back.
const chosen = {
  all: true,
  layers: {
    cells: { on: true, opacity: 1 }, nuclei: { on: true, opacity: 1 },
    heat: { on: true, opacity: 0.6 }, tiles: { on: false, opacity: 0.8 },
  },
  sort: "label", reversed: false, show: "all", keys: true, together: false,
};

const viewers = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue, setStateValue } = component;
  let viewer = viewers.get(parentElement);
  if (!viewer) {
    viewer = new Viewer(parentElement);
    viewers.set(parentElement, viewer);
  }
  viewer.emit = setTriggerValue;
  viewer.keep = setStateValue;
  viewer.load(data);
  return () => {
    viewer.destroy();
    viewers.delete(parentElement);
  };
}

function unpack(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const length = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + length)));
  const blob = (name) => {
    const place = header.blobs[name];
    if (!place) return null;
    const start = 8 + length + place.offset;
    return new Blob([data.subarray(start, start + place.length)], { type: place.type });
  };
  return { header, blob };
}

const percent = (x) => {
  const p = x * 100;
  if (p > 0 && p < 0.1) return "< 0.1 %";
  if (p < 100 && p > 99.9) return "> 99.9 %";
  return (p < 10 || p > 90 ? p.toFixed(1) : p.toFixed(0)) + " %";
};
const chance = (p) => percent(uncertain(p));
const whole = (x) => Math.round(x).toLocaleString("en");
const cellsIn = (n) => `${n} ${n === 1 ? "cell" : "cells"}`;
const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key === "style") node.style.cssText = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
};

class Viewer {
  constructor(root) {
    this.root = root.querySelector(".leuk");
    this.canvas = this.$(".view");
    this.context = this.canvas.getContext("2d");
    this.family = getComputedStyle(this.root).fontFamily || "sans-serif";
    this.probe = document.createElement("canvas").getContext("2d");
    this.pointers = new Map();
    this.view = { scale: 1, x: 0, y: 0 };
    this.selected = 0;
    this.hovered = 0;
    this.page = 0;
    this.token = 0;
    this.stop = new AbortController();
    this.listen();
    this.resizes = new ResizeObserver(() => this.resize());
    this.resizes.observe(this.$(".stage"));
    this.syncLayers();
  }

  $(selector) { return this.root.querySelector(selector); }

  destroy() {
    this.flush();
    this.stop.abort();
    this.resizes.disconnect();
    cancelAnimationFrame(this.frame);
    this.release();
  }

  release() {
    this.token += 1;
    for (const level of this.levels ?? []) level.close?.();
    this.levels = null;
    this.heat = {};
  }

  // ---- data ---------------------------------------------------------------------------------------------------

  async load(data) {
    const { header, blob } = unpack(data);
    const same = this.header && this.header.key === header.key;
    this.header = header;
    this.place();
    if (same) {
      this.offer();
      this.title();
      if (this.root.dataset.ready === "true" && header.state === "read") this.news();
      return;
    }
    this.release();
    const token = this.token;
    this.root.dataset.ready = "false";
    this.root.dataset.state = header.state;
    this.selected = this.hovered = this.page = 0;
    this.left = null;
    this.$(".tip").hidden = true;
    for (const name of [".gallery", ".heat", ".measures", ".scale", ".differential", ".bar-of-scale"]) this.$(name).hidden = true;
    if (header.state !== "read") {
      this.title();
      this.message();
      this.root.dataset.ready = "true";
      return;
    }
    this.$(".message").hidden = true;
    this.record = header.record;
    this.review = reviewOf(header.review_key);
    this.entered = scaleOf(header.scale_key);
    takeOver(header.given, this.review, this.entered);
    chosen.show = "all";
    this.size = [header.record.width, header.record.height];
    this.cells = header.record.cells.map((cell, i) => ({
      ...cell, ...(header.one_outline ? { nc_ratio: null, nucleus_area: null } : {}), label: i + 1, suspicion: cell.type_probabilities?.blast ?? null,
      certainty: cell.type_probabilities ? Math.max(...Object.values(cell.type_probabilities)) : null,
      polygons: header.outlines[i],
      paths: { cell: path(header.outlines[i].cell), nucleus: path(header.outlines[i].nucleus) },
      coarse: { cell: [], nucleus: [] },
    }));
    this.typed = this.cells.some((cell) => cell.type);
    for (const [label, type] of Object.entries(this.review.types)) if (this.cells[label - 1]) this.give(this.cells[label - 1], type);
    this.sift();
    this.target = header.main_class;
    // Of a picture outside what the model knows nothing that speaks for a class is shown unasked.
    chosen.layers.heat.on = !header.record.outside && (chosen.heatWanted ?? true);
    chosen.layers.tiles.on = !header.record.outside && (chosen.votesWanted ?? false);
    this.title();
    this.reading();
    const levels = await pyramid(blob("image"));
    if (token !== this.token) return levels.forEach((level) => level.close?.());
    this.levels = levels;
    const table = colors(header.colors);
    for (const key of Object.keys(header.heat)) {
      const map = await heatCanvas(blob("heat:" + key), table, this.size);
      if (token !== this.token) return;
      this.heat[key] = map;
    }
    this.ramp = [0, 64, 128, 191, 255].map((i) => `rgba(${table.slice(i * 3, i * 3 + 3).join()},${i / 255})`);
    this.root.style.setProperty("--heat", `linear-gradient(90deg, ${this.ramp})`);
    this.syncLayers();
    this.resize();
    this.fit();
    this.options();
    this.gallery();
    this.differential();
    this.scale();
    this.describe();
    const [w, h] = header.display;
    const less = w < this.size[0] ? `, reduced to ${whole(w)} × ${whole(h)} px from ${this.size.map(whole).join(" × ")}` : "";
    this.$('[data-do="save-png"] small').textContent = `PNG, with the layers as they are shown now, and what they are${less}`;
    this.root.dataset.ready = "true";
    this.news();
    this.say(`${header.name}: ${cellsIn(this.cells.length)}. ${this.verdict().lead}.`);
  }

  // What came with the same reading, or while it was being drawn: earlier changes of its own, and the cells of others.
  news() {
    if (takeOver(this.header.given, this.review, this.entered)) {
      for (const [label, type] of Object.entries(this.review.types)) if (this.cells[label - 1]) this.give(this.cells[label - 1], type);
      this.typed = this.cells.some((cell) => cell.type);
      this.revised();
    }
    if (this.pooled !== JSON.stringify(this.others)) this.differential();
  }

  place() {
    const { index, total } = this.header;
    this.$(".place").textContent = total ? `${index + 1} of ${total}` : "";
    this.allow("prev-file", index > 0);
    this.allow("next-file", index < total - 1);
  }

  // A button that can do no more keeps the focus, which one that is disabled would drop.
  allow(act, can) { this.$(`[data-do="${act}"]`).setAttribute("aria-disabled", !can); }

  // A reading by tiles of the field, or by its cells alone.
  get byCell() { return this.header?.read_by === "cells"; }
  get fieldless() { return this.record.cut_out && !this.byCell && this.cells.length > 0; }
  get votesName() { return this.byCell ? "Cell votes" : "Tile votes"; }

  title() {
    const { header } = this;
    const name = this.$(".name");
    name.textContent = header.name;
    name.title = header.name;
    const facts = this.$(".facts"), notes = this.$(".notes");
    facts.replaceChildren();
    notes.textContent = (header.state === "read" && [...header.notes, header.given?.note ?? ""].join(" ").trim()) || "";
    notes.hidden = !notes.textContent;
    if (header.synthetic) facts.append(element("span", { class: "mark" }, "Synthetic, not a patient"), " · ");
    if (header.state === "read") {
      const [w, h] = this.size;
      const tiles = this.byCell ? " · read cell by cell" : header.tiles.length > 1 ? ` · read in ${header.tiles.length} tiles` : "";
      facts.append(`${whole(w)} × ${whole(h)} px · ${header.model_title || header.record.model}${tiles} · cells: ${header.method_title ?? header.method}`);
    }
  }

  message() {
    const { header } = this;
    const box = this.$(".message");
    box.hidden = false;
    box.replaceChildren();
    this.canvas.setAttribute("aria-label", "No image is shown");
    if (header.state === "refused") {
      const icon = element("span");
      icon.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3.5 22 20.5H2zM12 10v5M12 17.6v.4"/></svg>';
      box.append(icon, element("p", { class: "what" }, "This file was not read"), element("p", {}, header.error));
    } else if (header.state === "stopped") {
      box.append(element("p", { class: "what" }, "Reading was stopped before this file"),
        element("p", { class: "mute" }, "Press “Read the rest” above to go on."));
    } else {
      box.append(element("div", { class: "spin" }), element("p", { class: "what" }, "Reading this file"),
        element("p", { class: "mute" }, "Cells are found and measured, the field is classified, heat maps are made."));
    }
    this.say(box.textContent);
  }

  label(key) { return this.header.labels[key] ?? { title: key, short: key, note: "" }; }

  verdict() {
    const { record, reasons } = this.header;
    const { outside } = record;
    const certain = record.suggestion !== "cannot_tell" && !outside;
    if (certain) return { certain, reasons, lead: `Suggests ${this.label(record.suggestion).title}` };
    return { certain, reasons, lead: this.fieldless ? "Cells without their field" : outside ? "Outside what Leuk knows" : "Cannot tell" };
  }

  reading() {
    const { header, record } = this;
    const box = this.$(".reading");
    const { certain, lead, reasons } = this.verdict();
    box.replaceChildren();
    const bars = element("div", { class: "bars", role: "list", "aria-label": "Probabilities" });
    const order = header.classes;
    for (const key of order) {
      const { title, note } = this.label(key);
      const p = record.probabilities[key];
      bars.append(element("div", { class: key === record.suggestion && certain ? "bar top" : "bar", role: "listitem", style: `--c: var(--${CSS.escape(key)}, var(--accent))` },
        element("span", { class: "n" }, title, ...(note ? [" ", element("small", {}, note)] : [])),
        element("span", { class: "t", "aria-hidden": "true" }, element("i", { style: `width:${(p * 100).toFixed(2)}%` })),
        element("span", { class: "v" }, chance(p))));
    }
    const any = order.length > 2
      ? element("p", { class: "any" }, element("span", {}, "Any leukaemic class together"), element("b", {}, chance(record.malignant_probability)))
      : "";
    const list = reasons.length ? element("ul", {}, ...reasons.map((r) => element("li", {}, r))) : null;
    const subtypes = order.some((key) => this.label(key).note) ? "Subtypes are immunophenotypes, fixed by flow cytometry and not by looks. " : "";
    const immuno = element("p", { class: "quiet" }, `${subtypes}${this.byCell ? "The field's score is the mean of its cells' logits, each cell read alone, so that those read surely weigh more" : `The field is read ${header.tiles.length > 1 ? `in ${header.tiles.length} tiles` : "as a whole"}, not cell by cell`}${header.model_title ? `, by ${header.model_title}` : ""}.`);
    if (certain) {
      const note = this.label(record.suggestion).note;
      box.append(element("p", { class: "over" }, "Suggestion, to be confirmed by immunophenotyping"),
        element("p", { class: "lead" }, this.label(record.suggestion).title),
        element("p", { class: "confirm" }, `Probability ${chance(record.probabilities[record.suggestion])}${note ? " · " + note : ""}`));
      box.append(element("p", { class: "from-cells" }));
      if (list) box.append(list);
      box.append(bars, any, immuno);
      this.votes(box);
    } else {
      const stop = element("div", { class: "stop" }, element("p", { class: "over" }, "No suggestion"), element("p", { class: "lead" }, lead));
      if (list) stop.append(list);
      stop.append(element("p", { class: "from-cells" }));
      const numbers = element("details", {}, element("summary", {}, "Show the model’s numbers all the same"),
        element("p", { class: "quiet" }, "These do not support a suggestion here."), bars, any, immuno);
      this.votes(numbers);
      numbers.addEventListener("toggle", () => this.heatPanel());
      box.append(stop, numbers);
    }
    this.heatPanel();
  }

  votes(box) {
    const { tiles, classes } = this.header;
    if (tiles.length < 2) return;
    const count = {};
    for (const tile of tiles) {
      const best = classes[tile.probabilities.indexOf(Math.max(...tile.probabilities))];
      count[best] = (count[best] ?? 0) + 1;
    }
    const text = Object.entries(count).sort((a, b) => b[1] - a[1]).flatMap(([key, n], i) => [i ? ", " : "",
      element("i", { class: "vote", style: `background:${CLASS_COLORS[key] ?? "#ffffff"}` }), `${n} ${this.label(key).short}`]);
    const how = this.byCell ? `Read cell by cell, ${tiles.length} cells` : `Read in ${tiles.length} tiles`;
    box.append(element("p", { class: "quiet votes" }, `${how}: `, ...text, `. Switch on “${this.votesName}” to see where.`));
  }

  heatPanel() {
    const { header } = this;
    const box = this.$(".heat");
    const keys = header.classes.filter((key) => header.heat[key]);
    const unasked = this.record.outside && !this.$(".reading details")?.open;
    box.hidden = !keys.length || unasked;
    if (box.hidden) return;
    const group = element("div", { class: "classes", role: "radiogroup", "aria-label": "Class whose heat map is shown" });
    for (const key of keys) {
      const button = element("button", { type: "button", role: "radio", "data-class": key, title: this.label(key).title }, this.label(key).short);
      button.addEventListener("click", () => this.showHeat(key));
      group.append(button);
    }
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = keys[(keys.indexOf(this.target) + step + keys.length) % keys.length];
      this.showHeat(next);
      group.querySelector(`[data-class="${CSS.escape(next)}"]`).focus();
    });
    const scale = element("p", { class: "key" }, "no heat", element("i"), "strong");
    box.replaceChildren(element("h3", {}, "Where the score depends on the image"), group, scale, element("p", { class: "heat-text" }));
    this.heatText();
  }

  heatText() {
    const heat = this.header.heat[this.target];
    for (const button of this.root.querySelectorAll(".classes button")) {
      const on = button.dataset.class === this.target;
      button.setAttribute("aria-checked", on);
      button.tabIndex = on ? 0 : -1;
    }
    const text = this.$(".heat-text");
    if (!heat || !text) return;
    const method = this.header.explainers?.[heat.method] ?? heat.method;
    text.replaceChildren();
    if (heat.heat_on_cells === null) text.append(`${method}: no heat for this class anywhere in the image.`);
    else {
      text.append(`${method}: `, element("b", {}, percent(heat.heat_on_cells)), " of the heat lies on cells, which cover ", element("b", {}, percent(heat.cells_share)), " of what was read.");
      if (this.fieldless) text.append(" What lies around the cells was put there by Leuk, so this map is of no real field.");
      else if (!heat.fine) text.append(" It is drawn on the network’s last maps, which often don’t tell where a score comes from.");
      else if (!this.byCell && heat.cells_share > 0 && heat.heat_on_cells < heat.cells_share) text.append(" That is less than chance: this score depends on what lies around the cells, so be wary of it.");
      if (heat.peak < 0.2) text.append(" The map is nearly flat: this score hangs on no place in particular.");
    }
  }

  showHeat(key) {
    this.target = key;
    chosen.layers.heat.on = chosen.heatWanted = true;
    chosen.all = true;
    this.heatText();
    this.syncLayers();
    this.describe();
    this.say(`Heat map for ${this.label(key).title}`);
    this.draw();
  }

  describe() {
    const { cells, header } = this;
    const shown = this.visible();
    const layers = [shown.cells && "cell outlines", shown.nuclei && "nucleus outlines", shown.heat && `heat map for ${this.label(this.target).title}`, shown.tiles && this.votesName.toLowerCase()].filter(Boolean);
    this.canvas.setAttribute("aria-label",
      `Photograph of a smear, ${header.name}, ${this.size[0]} by ${this.size[1]} pixels, ${cellsIn(cells.length)} found. ` +
      `${this.verdict().lead}. Shown over it: ${layers.join(", ") || "nothing"}. Arrow keys move, plus and minus zoom, J and K go through the cells.`);
  }

  say(text) { this.$(".live").textContent = text; }

  // ---- layers -------------------------------------------------------------------------------------------------

  visible() {
    const { layers, all } = chosen;
    return {
      cells: all && layers.cells.on && layers.cells.opacity > 0,
      nuclei: all && layers.nuclei.on && layers.nuclei.opacity > 0,
      heat: all && layers.heat.on && layers.heat.opacity > 0 && !!this.heat?.[this.target],
      tiles: all && layers.tiles.on && layers.tiles.opacity > 0 && (this.header?.tiles?.length ?? 0) > 1,
    };
  }

  syncLayers() {
    for (const row of this.root.querySelectorAll(".layer")) {
      const layer = chosen.layers[row.dataset.layer];
      const [box, slider] = row.querySelectorAll("input");
      box.checked = layer.on;
      slider.value = layer.opacity * 100;
      slider.style.opacity = layer.on ? 1 : 0.45;
    }
    const votes = this.$('[data-layer="tiles"]');
    votes.hidden = (this.header?.tiles?.length ?? 0) < 2;
    votes.querySelector("span").textContent = this.votesName;
    votes.querySelector('input[type="range"]').setAttribute("aria-label", `Opacity of the ${this.votesName.toLowerCase()}`);
    this.$('[data-layer="heat"]').hidden = !Object.keys(this.header?.heat ?? {}).length;
    this.$('[data-do="overlays"]').setAttribute("aria-pressed", chosen.all);
    this.$(".layers").classList.toggle("off", !chosen.all);
  }

  changed() {
    this.syncLayers();
    if (this.levels) this.describe();
    this.draw();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------

  resize() {
    const box = this.$(".stage").getBoundingClientRect();
    if (!box.width || !box.height) return;
    const fitted = this.fitted;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(box.width * this.ratio);
    this.canvas.height = Math.round(box.height * this.ratio);
    this.box = [box.width, box.height];
    if (!this.levels) return;
    if (fitted !== false) this.fit();
    else this.moved();
  }

  fitScale() {
    const [w, h] = this.size, [bw, bh] = this.box;
    return Math.min(bw / w, bh / h);
  }

  fit() {
    if (!this.levels || !this.box) return;
    this.gliding = null;
    const scale = this.fitScale();
    this.view = { scale, x: (this.box[0] - this.size[0] * scale) / 2, y: (this.box[1] - this.size[1] * scale) / 2 };
    this.moved();
  }

  // Keep some of the image in sight, and the reading of the zoom true.
  moved() {
    const { view, box, size } = this;
    const least = this.fitScale();
    view.scale = Math.min(Math.max(view.scale, least * 0.5), Math.max(MAX_SCALE, least));
    const margin = 60;
    view.x = Math.min(Math.max(view.x, margin - size[0] * view.scale), box[0] - margin);
    view.y = Math.min(Math.max(view.y, margin - size[1] * view.scale), box[1] - margin);
    this.fitted = Math.abs(view.scale / least - 1) < 0.005 && Math.abs(view.x - (box[0] - size[0] * view.scale) / 2) < 1.5
      && Math.abs(view.y - (box[1] - size[1] * view.scale) / 2) < 1.5;
    this.canvas.classList.toggle("zoomed", view.scale > least * 1.02);
    this.scaleBar();
    this.$(".zoom output").textContent = `${view.scale < 0.1 ? (view.scale * 100).toFixed(1) : Math.round(view.scale * 100)} %`;
    this.draw();
  }

  zoomAt(factor, x = this.box[0] / 2, y = this.box[1] / 2) {
    if (!this.levels) return;
    this.gliding = null;
    const { view } = this;
    const least = this.fitScale();
    const scale = Math.min(Math.max(view.scale * factor, least * 0.5), Math.max(MAX_SCALE, least));
    view.x = x - (x - view.x) * (scale / view.scale);
    view.y = y - (y - view.y) * (scale / view.scale);
    view.scale = scale;
    this.moved();
  }

  glide(to) {
    const from = { ...this.view };
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.view = to;
      return this.moved();
    }
    const start = performance.now();
    const gliding = (this.gliding = {});
    const step = (now) => {
      if (this.gliding !== gliding || !this.levels) return;
      const t = Math.min(1, (now - start) / 220), e = 1 - (1 - t) ** 3;
      // The middle of the stage travels straight; the scale grows evenly to the eye.
      const scale = from.scale * (to.scale / from.scale) ** e;
      const [bw, bh] = this.box;
      const center = (v) => [(bw / 2 - v.x) / v.scale, (bh / 2 - v.y) / v.scale];
      const [ax, ay] = center(from), [zx, zy] = center(to);
      const cx = ax + (zx - ax) * e, cy = ay + (zy - ay) * e;
      this.view = { scale, x: bw / 2 - cx * scale, y: bh / 2 - cy * scale };
      this.moved();
      if (t < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  draw() {
    if (this.pending || !this.levels || !this.box) return;
    this.pending = true;
    this.frame = requestAnimationFrame(() => {
      this.pending = false;
      if (this.levels) this.paint();
    });
  }

  paint() {
    const { context: c, view, ratio, canvas } = this;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    c.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
    this.layers(c, view.scale * ratio, ratio, true);
  }

  // Draw image and layers in the image's own coordinates; `scale` is device pixels per image pixel.
  layers(c, scale, ratio, live) {
    const [w, h] = this.size;
    const unit = ratio / scale;
    const shown = this.visible();
    const { layers } = chosen;
    const need = (w * scale) / this.levels[0].width;
    let level = 0;
    while (level + 1 < this.levels.length && need <= this.levels[level + 1].width / this.levels[0].width) level += 1;
    c.imageSmoothingEnabled = scale / ratio < 8;
    c.imageSmoothingQuality = "high";
    c.drawImage(this.levels[level], 0, 0, w, h);
    if (shown.heat) {
      c.imageSmoothingEnabled = true;
      c.globalAlpha = layers.heat.opacity;
      c.drawImage(this.heat[this.target], 0, 0, w, h);
      c.globalAlpha = 1;
    }
    const votes = shown.tiles ? this.drawTiles(c, unit, layers.tiles.opacity) : [];
    c.lineJoin = "round";
    const near = this.near(c, 20 * unit);
    const line = (which, color, width, opacity) => strokes(c, [which], unit, color, width, opacity);
    const small = w * h * scale ** 2 < 1.5 * c.canvas.width * c.canvas.height && Math.max(w, h) * scale < 8192;
    if (live && small) this.keptOutlines(c, scale, unit, shown);
    else this.outlines(c, near, unit, shown);
    for (const [text, x, y, rise] of votes) this.tag(c, ratio, text, x, y, rise, layers.tiles.opacity);
    const marked = live && this.cells[this.selected - 1];
    const over = live && this.cells[this.hovered - 1];
    if (over && over !== marked) line(over.paths.cell, "#ffffff", 2.5, 0.9);
    if (marked) {
      line(marked.paths.cell, "#ffffff", 3.5, 1);
      const [x0, y0, x1, y1] = marked.box;
      const gap = 9 * unit, arm = Math.min(16 * unit, (x1 - x0) / 3 + gap);
      const brackets = new Path2D();
      for (const [x, y, dx, dy] of [[x0 - gap, y0 - gap, 1, 1], [x1 + gap, y0 - gap, -1, 1], [x0 - gap, y1 + gap, 1, -1], [x1 + gap, y1 + gap, -1, -1]]) {
        brackets.moveTo(x + dx * arm, y);
        brackets.lineTo(x, y);
        brackets.lineTo(x, y + dy * arm);
      }
      line(brackets, "#ffffff", 2.5, 1);
    }
    if (shown.cells) {
      // In a picture that is saved, which cannot be zoomed for them, numbers are no wider than most cells.
      const areas = live ? [] : this.cells.map((cell) => cell.area).sort((a, b) => a - b);
      const letters = live ? ratio : Math.max(1, Math.min(ratio, (Math.sqrt(areas[areas.length >> 1] ?? 0) * scale) / 36));
      for (const cell of near) {
        const [x0, y0, x1] = cell.box;
        // It stands beside the table, so it has every one.
        if (live && (x1 - x0) / unit < 26 && cell !== marked) continue;
        if (!this.shown.has(cell.label) && cell !== marked) continue;
        const type = cell.type && (x1 - x0) / unit > 58 ? ` ${TYPE[cell.type].short}` : "";
        this.tag(c, letters, cell.label + type, x0, y0, -13, cell === marked ? 1 : layers.cells.opacity);
      }
    }
  }

  outlines(c, cells, unit, shown) {
    const { nuclei, cells: whole } = chosen.layers;
    const of = (part, aside) => cells.filter((cell) => this.shown.has(cell.label) !== aside).map((cell) => outline(cell, part, unit));
    if (shown.nuclei) strokes(c, of("nucleus", false), unit, NUCLEUS, 1.5, nuclei.opacity);
    if (shown.cells) strokes(c, of("cell", false), unit, CELL, 2, whole.opacity);
    if (shown.cells) strokes(c, of("cell", true), unit, CELL, 1, whole.opacity * 0.35);
  }

  // The same from a picture of them: where all of hundreds can be seen, a pan or a hover would draw all anew each time.
  keptOutlines(c, scale, unit, shown) {
    const rim = 8, { nuclei, cells } = chosen.layers;
    const key = [scale, unit, shown.nuclei && nuclei.opacity, shown.cells && cells.opacity].join();
    if (this.kept?.key !== key || this.kept.of !== this.shown) {
      const canvas = new OffscreenCanvas(...this.size.map((side) => Math.ceil(side * scale) + 2 * rim));
      const own = canvas.getContext("2d");
      own.setTransform(scale, 0, 0, scale, rim, rim);
      own.lineJoin = "round";
      this.outlines(own, this.cells, unit, shown);
      this.kept = { key, of: this.shown, canvas };
    }
    const { e, f } = c.getTransform();
    c.save();
    // Between two pixels it would be blurred.
    c.setTransform(1, 0, 0, 1, Math.round(e) - rim, Math.round(f) - rim);
    c.drawImage(this.kept.canvas, 0, 0);
    c.restore();
  }

  // The cells of which something, or what surrounds them that far, can be seen.
  near(c, margin) {
    const { a, e, f } = c.getTransform();
    const [left, top] = [-e / a - margin, -f / a - margin];
    const [right, foot] = [left + c.canvas.width / a + 2 * margin, top + c.canvas.height / a + 2 * margin];
    return this.cells.filter(({ box: [x0, y0, x1, y1] }) => x0 < right && x1 > left && y0 < foot && y1 > top);
  }

  // Write in the screen's own units: browsers spoil letters drawn a fraction of a pixel high and enlarged.
  tag(c, ratio, text, x, y, rise, opacity) {
    const world = c.getTransform();
    const at = world.transformPoint(new DOMPoint(x, y));
    if (at.x > c.canvas.width || at.y > c.canvas.height || at.x < -40 * ratio || at.y < -20 * ratio) return;
    c.save();
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.font = `600 12px ${this.family}`;
    c.textBaseline = "top";
    const width = c.measureText(text).width + 8;
    const left = Math.min(at.x / ratio, c.canvas.width / ratio - width);
    const top = Math.max(at.y / ratio + rise, 0);
    c.globalAlpha = opacity;
    c.fillStyle = "rgba(11,12,16,.76)";
    c.beginPath();
    c.roundRect(left, top, width, 16, 3);
    c.fill();
    c.fillStyle = "#fff";
    c.fillText(text, left + 4, top + 3);
    c.restore();
  }

  // Color what was read by its vote, and return the labels, which go on top of all lines: text and place.
  drawTiles(c, unit, opacity) {
    const { tiles, classes } = this.header;
    const labels = [];
    for (const tile of tiles) {
      const [x0, y0, x1, y1] = tile.box;
      const best = tile.probabilities.indexOf(Math.max(...tile.probabilities));
      const text = `${this.label(classes[best]).short} ${likely(tile.probabilities[best])}`;
      const cell = this.cells[tile.cell - 1];
      c.fillStyle = c.strokeStyle = CLASS_COLORS[classes[best]] ?? "#ffffff";
      c.globalAlpha = opacity * (cell ? 0.45 : 0.22) * tile.probabilities[best];
      if (cell) {
        // The cell itself bears its vote: its square would take in neighbours that had no part in it.
        c.fill(cell.paths.cell);
        const [left, , right, foot] = cell.box;
        if ((right - left) / unit > 40) labels.push([text, left, foot, -4]);
      } else {
        c.fillRect(x0, y0, x1 - x0, y1 - y0);
        c.globalAlpha = opacity;
        c.lineWidth = 2 * unit;
        c.strokeRect(x0 + 2 * unit, y0 + 2 * unit, x1 - x0 - 4 * unit, y1 - y0 - 4 * unit);
        if ((x1 - x0) / unit > 92) labels.push([text, x0 + 5 * unit, y0 + 5 * unit, 0]);
      }
      c.globalAlpha = 1;
    }
    return labels;
  }

  // ---- cells --------------------------------------------------------------------------------------------------

  // Which cells the list and the outlines show.
  sift() {
    const show = chosen.show;
    const pass = {
      all: () => true, unsure: (c) => (c.certainty ?? 1) < UNSURE && !this.review.types[c.label],
      changed: (c) => !!this.review.types[c.label], whole: (c) => !c.touches_border,
    }[show] ?? ((c) => c.type === show);
    this.shown = new Set(this.cells.filter(pass).map((c) => c.label));
  }

  // Probability of a blast; 1 or 0 where a person has told the type.
  suspicion(cell) {
    const told = this.review.types[cell.label];
    return told ? Number(told === "blast") : cell.suspicion;
  }

  sorted() {
    // What is likeliest a blast comes first, unless asked for the other way round.
    const key = chosen.sort, sign = chosen.reversed !== (chosen.sort === "suspicion") ? -1 : 1;
    const order = TYPES.map((type) => type.key);
    // What a person told counts, here as among the blasts to expect.
    const value = (c) => (key === "type" ? order.indexOf(c.type) : key === "suspicion" ? this.suspicion(c) : c[key]);
    // What was not measured comes last, whichever way the rest is sorted; within a type the surest come first.
    return this.cells.filter((c) => this.shown.has(c.label)).sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a.label - b.label;
      return sign * (x - y) || (key === "type" ? b.certainty - a.certainty : 0) || a.label - b.label;
    });
  }

  // What the lists offer depends on whether types were told.
  options() {
    const fill = (select, groups, value) => {
      select.replaceChildren(...groups.map(([title, rows]) => {
        const options = rows.map(([key, text]) => element("option", { value: key }, text));
        return title ? element("optgroup", { label: title }, ...options) : options;
      }).flat());
      select.value = value;
    };
    const typed = this.typed ? [["type", "type"], ["suspicion", "probability of a blast"], ["certainty", "certainty"]] : [];
    const measures = MEASURES.map(({ key, title }) => [key, title[0].toLowerCase() + title.slice(1)]).map(([key, title]) => [key, title.replace(/^n:C/, "N:C")]);
    if (!this.typed && ["type", "suspicion", "certainty"].includes(chosen.sort)) chosen.sort = "label";
    fill(this.$(".sort select"), [[null, [["label", "position"], ...typed]], ["By measure", [["area", "area"], ["nucleus_area", "nucleus area"], ...measures]]], chosen.sort);
    const counts = {};
    for (const cell of this.cells) if (cell.type) counts[cell.type] = (counts[cell.type] ?? 0) + 1;
    const types = TYPES.filter(({ key }) => counts[key] || chosen.show === key).map(({ key, title }) => [key, `${title} (${counts[key] ?? 0})`]);
    const states = [["all", "all"], ["whole", "not cut by the edge"]];
    if (this.typed) states.push(["unsure", "doubtful type"]);
    states.push(["changed", "changed or confirmed by you"]);
    fill(this.$(".show select"), [[null, states], ...(types.length ? [["Type", types]] : [])], chosen.show);
  }

  // Another choice of cells: the list, the outlines and the differential's marks follow.
  filter(show) {
    chosen.show = show;
    this.page = 0;
    this.left = null;
    this.sift();
    this.options();
    this.gallery();
    this.differential();
    this.draw();
  }

  word(cell) {
    const key = chosen.sort;
    if (key === "area" || key === "nucleus_area") return cell[key] === null ? "–" : `${whole(cell[key])} px`;
    if (MEASURE[key]) return this.amount(MEASURE[key], cell);
    if (key === "suspicion" && this.review.types[cell.label]) return "told by you";
    // Of one called a blast the type's own words have it.
    if (key === "suspicion" && cell.type === "blast") return "";
    if (key === "suspicion" && cell.suspicion !== null) return `blast ${chance(cell.suspicion)}`;
    // The type's own words have it, but where no type is suggested or a person has told it.
    const bare = UNLIKELY.includes(cell.type) || this.review.types[cell.label];
    if (key === "certainty" && bare && cell.certainty !== null) return `suggested at ${likely(cell.certainty)}`;
    return cell.type || cell.nc_ratio === null ? "" : `N:C ${cell.nc_ratio.toFixed(2)}`;
  }

  sizeInWords(cell) {
    return `area ${whole(cell.area)} pixels${cell.nc_ratio === null ? "" : `, N to C ratio ${cell.nc_ratio.toFixed(2)}`}`;
  }

  um() { return this.entered.um ?? this.record.scale?.um_per_px ?? null; }

  // A round length that is at most so many pixels long where one pixel of the image takes `scale` of them, or null.
  length(scale, most) {
    const um = this.um();
    if (!um) return null;
    const ten = 10 ** Math.floor(Math.log10((most * um) / scale));
    const length = [5, 2, 1].map((n) => n * ten).find((one) => (one / um) * scale <= most) ?? ten;
    return { wide: (length / um) * scale, words: `${this.entered.um ? "" : "≈ "}${length.toLocaleString("en", { maximumFractionDigits: 6 })} µm` };
  }

  scaleBar() {
    const box = this.$(".bar-of-scale"), bar = this.length(this.view.scale, 130);
    box.hidden = !bar;
    if (!bar) return;
    box.setAttribute("aria-label", `Scale bar, ${bar.words}`);
    box.querySelector("i").style.width = `${bar.wide}px`;
    box.querySelector("span").textContent = bar.words;
  }

  amount({ key, digits, kind }, cell) {
    const value = cell[key];
    if (value === null || value === undefined) return "–";
    const um = kind === "length" ? this.um() : null;
    // An estimate from red cells says so wherever it is shown.
    return um ? `${this.entered.um ? "" : "≈ "}${(value * um).toFixed(1)} µm` : `${value.toFixed(digits)}${kind === "length" ? " px" : ""}`;
  }

  typeWord(cell) {
    if (!cell.type) return "";
    if (this.review.types[cell.label]) return `${TYPE[cell.type].short} ${cell.type_source === "confirmed" ? "✓" : "✎"}`;
    return UNLIKELY.includes(cell.type) ? TYPE[cell.type].short : `${TYPE[cell.type].short} ${likely(cell.certainty)}`;
  }

  gallery() {
    const box = this.$(".gallery");
    box.hidden = false;
    const cells = this.sorted();
    this.$(".gallery .count").textContent = `· ${cells.length < this.cells.length ? `${cells.length} of ` : ""}${this.cells.length}`;
    this.allow("undo", this.review.done.length > 0);
    const reverse = this.$('[data-do="reverse"]');
    reverse.setAttribute("aria-pressed", chosen.reversed);
    const list = this.$(".cells");
    list.replaceChildren();
    if (!cells.length) {
      list.append(element("p", { class: "quiet", style: "grid-column:1/-1" }, this.cells.length ? "No cell is of this kind." : "No white cell was found in this image. If you see one, try another way of finding cells under Settings."));
      this.$(".pager").hidden = true;
      this.measures();
      return;
    }
    const pages = Math.ceil(cells.length / PAGE);
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    for (const cell of cells.slice(this.page * PAGE, (this.page + 1) * PAGE)) {
      const crop = element("canvas", { width: 132, height: 132, "aria-hidden": "true" });
      const type = cell.type ? `${TYPE[cell.type].title}${this.review.types[cell.label] ? `, ${this.byYou(cell)}` : ""}, ` : "";
      const option = element("div", { class: "cell", role: "option", "data-cell": cell.label, "data-type": cell.type ?? "", tabindex: -1,
        "aria-label": `Cell ${cell.label}: ${type}${this.sizeInWords(cell)}, circularity ${cell.circularity.toFixed(2)}${cell.touches_border ? ", cut by the edge of the image" : ""}` },
      crop, element("b", {}, String(cell.label)), cell.touches_border ? element("i", { class: "cut", title: "Cut by the edge of the image" }, "edge") : null);
      for (const text of [this.typeWord(cell), this.word(cell)]) if (text) option.append(element("span", {}, text));
      this.crop(crop, cell);
      list.append(option);
    }
    const pager = this.$(".pager");
    pager.hidden = pages < 2;
    pager.querySelector("span").textContent = `${this.page + 1} of ${pages}`;
    this.allow("page-back", this.page > 0);
    this.allow("page-on", this.page < pages - 1);
    this.mark();
  }

  // Of this file, or of all of them: one field seldom holds the cells that a count should rest on.
  differential() {
    const { cells, others } = this;
    this.pooled = JSON.stringify(others);
    const box = this.$(".differential");
    const more = others.files > Number(others.repeats ?? false), wide = more && chosen.together;
    box.hidden = !this.typed && !wide;
    const own = countTypes(cells.map((cell) => cell.type).filter(Boolean));
    if (this.typed) this.fromCells(own);
    else this.root.querySelector(".from-cells")?.replaceChildren();
    if (box.hidden) return;
    const { pool, count: all } = this.together();
    const count = wide ? all : own;
    const rows = Object.entries(count.types).sort((a, b) => b[1].count - a[1].count);
    const table = element("div", { class: "shares", role: "list" });
    for (const [key, { count: n, share, low, high }] of rows) {
      const said = `${TYPE[key].title}: ${n} of ${count.total}, ${rounded(share)}, 95 % interval ${Math.round(low * 100)} to ${Math.round(high * 100)} %`;
      const row = wide
        ? element("div", { "data-type": key, role: "img", "aria-label": said })
        : element("button", { type: "button", "data-type": key, "aria-pressed": chosen.show === key, title: `${n} of ${count.total}; show only these`, "aria-label": said });
      row.append(element("span", { class: "n" }, TYPE[key].title), element("span", { class: "c" }, String(n)),
        element("span", { class: "t", "aria-hidden": "true" }, element("i", { class: "range", style: `left:${low * 100}%;width:${(high - low) * 100}%` }), element("i", { class: "at", style: `left:${share * 100}%` })),
        element("span", { class: "v" }, rounded(share), element("small", {}, `${Math.round(low * 100)}–${Math.round(high * 100)}`)));
      table.append(element("div", { role: "listitem" }, row));
    }
    const beside = Object.entries(count.beside).map(([key, n]) => several(key, n)).join(", ").replace(/, ([^,]*)$/, " and $1");
    const yours = cells.filter((cell) => this.review.types[cell.label]);
    const changed = ["corrected", "confirmed"].map((source) => [yours.filter((cell) => cell.type_source === source).length, source === "corrected" ? "changed" : source])
      .filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(", ");
    const rests = count.total
      ? `Rests on ${count.total} white ${count.total === 1 ? "cell" : "cells"}${wide ? ` in ${pool.files} ${pool.files > 1 ? "files, as if of one smear" : "file"}` : ""}${count.total < USUAL_COUNT ? `; ${USUAL_COUNT} are usual` : ""}. Ranges are exact 95 % binomial intervals.`
      : "No white cell is counted.";
    const note = wide && fromPool(pool, count);
    const unsure = !wide && this.record.outside && yours.length < cells.length;
    const head = element("header", {}, element("h3", {}, "Differential count"));
    if (!wide) head.append(element("span", {}, changed ? `${changed} by you` : "suggested, for you to check"));
    else head.append(element("button", { type: "button", "data-do": "save-count", title: "This count as CSV" }, "Save CSV"));
    const active = this.root.getRootNode().activeElement;
    const held = box.contains(active) && [["data-do", active.dataset.do], ["data-scope", active.dataset.scope], ["data-type", active.dataset.type]].find(([, value]) => value);
    box.replaceChildren(head, more ? this.scopes(wide, pool) : "",
      rows.length ? table : "",
      element("p", { class: "quiet" }, `${rests}${beside ? ` Not counted: ${beside}.` : ""}${wide ? this.leftOut(pool) : ""}`),
      wide ? element("p", { class: "quiet" }, pool.told ? `${pool.told} of ${pool.cells} types ${pool.told > 1 ? "are" : "is"} changed or confirmed by you.` : "All types are suggested, for you to check.") : "",
      note ? element("p", { class: "quiet" }, note) : "",
      unsure ? element("p", { class: "warn" }, `The picture is outside what Leuk knows: check ${isSmear(this.record) ? "these types" : "that these are white cells, and their types"}.`) : "");
    if (held) this.$(`.differential button[${held[0]}="${held[1]}"]`)?.focus({ preventScroll: true });
  }

  // Why the count of all files is not of as many as there are.
  leftOut({ files, repeated }) {
    const { header: { total, synthetic }, others: { apart, unread } } = this;
    const untyped = total - files - repeated - apart - unread;
    const all = [
      [repeated, "file repeats another and is left out", "files repeat others and are left out"],
      [apart, synthetic ? "photograph is counted apart" : "synthetic file is counted apart", synthetic ? "photographs are counted apart" : "synthetic files are counted apart"],
      [unread, "file is not read", "files are not read"],
      [untyped, "file has no types", "files have no types"],
    ];
    return all.map(([n, one, many]) => (n ? ` ${n} ${n > 1 ? many : one}.` : "")).join("");
  }

  // Whose cells are counted.
  scopes(wide, { files, repeated }) {
    const all = this.header.total - repeated;
    const group = element("div", { class: "scopes", role: "radiogroup", "aria-label": "Whose cells are counted" });
    for (const [scope, words] of [["file", "This file"], ["all", files < all ? `${files} of ${all} files` : `All ${files} files`]]) {
      const on = (scope === "all") === wide;
      group.append(element("button", { type: "button", role: "radio", "data-scope": scope, "aria-checked": on, tabindex: on ? 0 : -1 }, words));
    }
    const choose = (scope) => {
      chosen.together = scope === "all";
      this.differential();
      this.$(`[data-scope="${scope}"]`).focus({ preventScroll: true });
    };
    group.addEventListener("click", (event) => { if (event.target.dataset.scope) choose(event.target.dataset.scope); });
    group.addEventListener("keydown", (event) => {
      if (!["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"].includes(event.key)) return;
      event.preventDefault();
      choose(wide ? "file" : "all");
    });
    return group;
  }

  together() { return pooledCount({ ...this.record, cells: this.cells }, this.others); }

  // The strip is told of them, since with the viewer's own data the picture would come again whenever a file is read.
  get others() { return this.header.others ?? (window.leukOthers?.key === this.header.key ? window.leukOthers : NO_OTHERS); }

  // The count of all files as a table; what is not counted has no share.
  countTable() {
    const { count: { types, beside } } = this.together();
    const rows = Object.entries(types).map(([key, { count, share, low, high }]) => [key, count, share, low, high]);
    rows.push(...Object.entries(beside).map(([key, n]) => [key, n, "", "", ""]));
    return [["type", "count", "share", "low", "high"], ...rows].map((row) => row.join(",") + "\r\n").join("");
  }

  // What the cells add to the field's reading stands beneath it, where it is seen.
  fromCells(count) {
    const place = this.root.querySelector(".from-cells");
    if (!place) return;
    const { cells } = this;
    const said = fromCells({ ...this.record, cells, differential: { ...count, expected_blasts: expectedBlasts(cells) } });
    // The last percentage is the rule's, the others are the field's own.
    const parts = (said ?? "").split(/((?:[<>] )?\d+ %)(?! as a rule)/);
    place.replaceChildren(...parts.map((text, i) => (i % 2 ? element("b", {}, text) : text)));
  }

  crop(canvas, cell) {
    const [x0, y0, x1, y1] = cell.box;
    const side = Math.max(x1 - x0, y1 - y0) * 1.25;
    const c = canvas.getContext("2d");
    const scale = canvas.width / side;
    c.setTransform(scale, 0, 0, scale, -((x0 + x1) / 2 - side / 2) * scale, -((y0 + y1) / 2 - side / 2) * scale);
    c.imageSmoothingQuality = "high";
    let level = 0;
    const need = (this.size[0] * scale) / this.levels[0].width;
    while (level + 1 < this.levels.length && need <= this.levels[level + 1].width / this.levels[0].width) level += 1;
    c.drawImage(this.levels[level], 0, 0, this.size[0], this.size[1]);
  }

  mark() {
    const options = [...this.root.querySelectorAll(".cell")];
    let focusable = options[0];
    for (const option of options) {
      const on = Number(option.dataset.cell) === this.selected;
      option.setAttribute("aria-selected", on);
      option.tabIndex = -1;
      if (on) focusable = option;
    }
    if (focusable) focusable.tabIndex = 0;
    this.measures();
  }

  measures() {
    const box = this.$(".measures");
    const cell = this.cells[this.selected - 1];
    box.hidden = !cell;
    this.root.classList.toggle("choosing", !!cell);
    if (!cell) return;
    const close = element("button", { type: "button", "data-do": "let-go", "aria-label": "Let go of the chosen cell", title: "Let go of the chosen cell (Esc)" });
    close.innerHTML = '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="m5 5 10 10M15 5 5 15"/></svg>';
    const turn = (act, word, shape) => {
      const button = element("button", { type: "button", "data-do": act, "aria-label": word, title: word });
      button.innerHTML = `<svg viewBox="0 0 20 20" aria-hidden="true"><path d="${shape}"/></svg>`;
      return button;
    };
    // On a narrow screen neither the marked cell nor the list's own button is in sight.
    const undo = turn("undo-here", "Undo the last change (Z)", "M7.5 4 4 7.5 7.5 11M4.5 7.5h7a4.5 4.5 0 0 1 0 9H8");
    undo.setAttribute("aria-disabled", !this.review.done.length);
    const crop = element("canvas", { width: 132, height: 132, class: "seen", "aria-hidden": "true" });
    if (this.levels) this.crop(crop, cell);
    const tools = element("div", {}, undo, turn("cell-back", "Previous cell (K)", "M12.5 4.5 7 10l5.5 5.5"), turn("cell-on", "Next cell (J)", "M7.5 4.5 13 10l-5.5 5.5"), close);
    const parts = [element("header", {}, crop, element("h3", {}, `Cell ${cell.label}`), element("span", { class: "says", title: this.says(cell) }, this.says(cell)), tools)];
    if (cell.touches_border) parts.push(element("p", { class: "warn" }, "Cut by the edge: measured in part"));
    if (this.header.one_outline) parts.push(element("p", { class: "warn" }, "One outline for nucleus and cell: no N:C ratio, nothing of the nucleus"));
    const types = element("div", { class: "types", role: "radiogroup", "aria-label": "Type of this cell" });
    for (const { key, title, short, press } of TYPES) {
      types.append(element("button", { type: "button", role: "radio", "data-set": key, "aria-checked": cell.type === key, tabindex: key === (cell.type ?? TYPES[0].key) ? 0 : -1, title: `${title} (${press})`, "aria-label": title }, element("kbd", { "aria-hidden": "true" }, press), short));
    }
    // Arrows only go to a type: giving it to the cell, which is work to be undone, takes the space bar or Enter.
    types.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...types.children], at = all.indexOf(event.target);
      const next = all[(at + step + all.length) % all.length];
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    parts.push(types);
    const table = element("div", { class: "table" });
    // What was measured in part, and what is no cell, would widen the strips; the chosen cell has its place all the same.
    const cut = this.cells.filter((c) => c.touches_border).length;
    const smudges = this.cells.filter((c) => c.type === "artefact" && !c.touches_border).length;
    const without = [cut && `${cut} cut by the edge`, smudges && several("artefact", smudges)].filter(Boolean).join(" and ");
    const rests = this.cells.filter((c) => !c.touches_border && c.type !== "artefact");
    for (const measure of MEASURES) {
      table.append(element("div", { class: "row", title: `${measure.title}: ${measure.note}` }, element("span", {}, measure.title, element("span", { class: "sr" }, `: ${measure.note}`)), element("b", {}, this.amount(measure, cell)),
        spread(rests.map((c) => c[measure.key]), cell[measure.key] ?? null, measure.title, (v) => this.amount(measure, { [measure.key]: v }), without)));
    }
    parts.push(table);
    // All is made anew; what had the focus has it again.
    const active = this.root.getRootNode().activeElement;
    const { set, do: act } = active?.dataset ?? {};
    const held = box.contains(active) && (set ? `[data-set="${set}"]` : `[data-do="${act}"]`);
    box.replaceChildren(...parts);
    if (held) box.querySelector(held).focus({ preventScroll: true });
  }

  byYou(cell) { return cell.type_source === "confirmed" ? "confirmed by you" : "changed by you"; }

  // How the type came about.
  says(cell) {
    if (!cell.type) return "";
    const was = cell.suggested_type;
    if (this.review.types[cell.label]) return `${this.byYou(cell)}${was && was !== cell.type ? `; ${TYPE[was].title.toLowerCase()} was suggested` : ""}`;
    const best = Object.entries(cell.type_probabilities ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 2);
    const types = best.map(([key, p]) => `${TYPE[key].title.toLowerCase()} ${chance(p)}`).join(", ");
    return cell.type === "artefact" ? `looks like a smudge; if it is a cell, ${types}` : types;
  }

  scale() {
    const { scale } = this.record, { um } = this.entered;
    this.$(".scale").hidden = !this.cells.length;
    const input = this.$(".scale input");
    input.placeholder = scale?.um_per_px ?? "unknown";
    input.value = um ?? "";
    input.removeAttribute("aria-invalid");
    const red = scale && `${scale.red_cells} red cells`;
    const note = um ? `entered${scale ? ` (${scale.um_per_px} by ${red})` : ""}` : scale ? `estimated from ${red} of ${RED_CELL} µm` : "too few red cells to estimate it";
    const wide = um && scale ? (RED_CELL * um) / scale.um_per_px : RED_CELL;
    this.$("#leuk-scale").replaceChildren(`µm per pixel, ${note}`,
      Math.max(wide / RED_CELL, RED_CELL / wide) < 1.5 ? "" : element("b", { class: "warn" }, `Red cells would be ${Number(wide.toPrecision(2))} µm wide, not ${RED_CELL}: check it.`));
    this.scaleBar();
    this.offer();
  }

  // Files of one visit often come from one microscope and camera.
  offer() {
    const keys = this.header.scale_keys, um = this.entered?.um;
    const button = this.$('[data-do="scale-all"]');
    button.hidden = !um || keys.every((key) => reviews.get(key)?.um === um);
    button.textContent = `Use for all ${keys.length} files`;
  }

  enter(um, keys) {
    const was = keys.map(scaleOf).map(({ um, shared, given }) => ({ um, shared, given }));
    this.review.done.push({ um, keys, was });
    // In the other files it is no change of theirs that could be lost with them.
    for (const key of keys) Object.assign(scaleOf(key), { um, shared: key !== this.header.scale_key });
    this.revised();
  }

  // ---- changes ------------------------------------------------------------------------------------------------

  setType(label, key) {
    const { types, done } = this.review;
    if (!this.cells[label - 1] || types[label] === key) return;
    done.push({ label, was: types[label] ?? null, given: this.review.given });
    const at = this.sorted().findIndex((c) => c.label === label);
    if (at >= 0) this.left = { label, at };
    const inList = this.$(".cells").contains(this.root.getRootNode().activeElement);
    this.putType(label, key);
    // The list is made anew: the keys go on from where they were.
    if (inList) (this.$(`.cell[data-cell="${label}"]`) ?? this.$('.cell[tabindex="0"]'))?.focus({ preventScroll: true });
    this.say(this.cells[label - 1].type_source === "confirmed" ? `${TYPE[key].title} confirmed for cell ${label}` : `Cell ${label} is now ${TYPE[key].title}`);
  }

  // A null key gives the suggestion back.
  give(cell, key) {
    const { type, type_source, suggested_type: suggested } = this.record.cells[cell.label - 1];
    Object.assign(cell, key === null ? { type, type_source } : { type: key, type_source: sourceOf(key, suggested) });
  }

  putType(label, key) {
    if (key === null) delete this.review.types[label];
    else this.review.types[label] = key;
    this.give(this.cells[label - 1], key);
    this.typed = this.cells.some((cell) => cell.type);
    this.revised();
  }

  undo() {
    const last = this.review?.done.pop();
    if (!last) return;
    if ("um" in last) {
      // Not where another was entered since. Here as with types, what was taken over since stands behind the change.
      last.keys.forEach((key, i) => {
        const scale = reviews.get(key), { um, shared, given } = last.was[i];
        if (scale?.um === last.um) Object.assign(scale, { um: scale.given > given ? scale.before ?? um : um, shared });
      });
      this.revised();
      const um = this.um();
      return this.say(`Undone: the scale is ${um ? `${um} micrometres per pixel` : "unknown"} again`);
    }
    const { label } = last;
    const was = this.review.given > last.given ? this.review.before[label] ?? last.was : last.was;
    const focus = this.$(".cells").contains(this.root.getRootNode().activeElement);
    this.putType(label, was);
    // What is undone is shown, wherever the reader has gone meanwhile.
    this.select(label, { focus, sift: false });
    const { type } = this.cells[label - 1];
    this.say(`Undone: cell ${label} is ${type ? `${TYPE[type].title} again` : "without a type again"}${type && was === null ? ", as suggested" : ""}`);
  }

  revised() {
    this.sift();
    this.options();
    this.gallery();
    this.differential();
    this.scale();
    this.draw();
    // The page keeps the changes for its own downloads; a burst of them travels as one.
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), 250);
  }

  flush() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.keep?.("reviews", reviewsToKeep());
  }

  // The record as it stands after the changes; as leuk.report.corrected.
  corrected() {
    const { review: { types }, entered: { um } } = this;
    const out = structuredClone(this.record);
    if (this.header.synthetic) out.synthetic = true;
    for (const [label, type] of Object.entries(types)) {
      const cell = out.cells[label - 1];
      Object.assign(cell, { type, suggested_type: cell.suggested_type ?? null, type_source: sourceOf(type, cell.suggested_type) });
    }
    const told = out.cells.map((cell) => cell.type).filter(Boolean);
    if (told.length) {
      out.differential = { ...countTypes(told), expected_blasts: expectedBlasts(out.cells) };
      out.from_cells = fromCells(out);
    }
    if (um) out.scale = { um_per_px: um, source: "entered", red_cells: 0 };
    return out;
  }

  table() {
    const { columns, rows } = this.header;
    const at = Object.fromEntries(columns.map((name, i) => [name, i]));
    const { review: { types }, entered: { um } } = this;
    const lines = rows.map((row, i) => {
      const out = [...row];
      if (types[i + 1]) Object.assign(out, { [at.type]: types[i + 1], [at.type_source]: sourceOf(types[i + 1], row[at.suggested_type]) });
      if (um) {
        for (const key of ["diameter", "nucleus_diameter"]) if (row[at[key]]) out[at[`${key}_um`]] = decimal(Number((row[at[key]] * um).toFixed(2)));
        Object.assign(out, { [at.um_per_px]: decimal(um), [at.um_source]: "entered" });
      }
      return out;
    });
    return [columns, ...lines].map((line) => line.map(quoted).join(",") + "\r\n").join("");
  }

  select(label, { center = true, focus = false, scroll = true, sift = true } = {}) {
    this.selected = label;
    const cell = this.cells[label - 1];
    if (cell) {
      if (sift && !this.shown.has(label)) this.filter("all");
      const at = this.sorted().findIndex((c) => c.label === label);
      const page = Math.floor(at / PAGE);
      if (at >= 0 && page !== this.page) {
        this.page = page;
        this.gallery();
      }
    }
    this.mark();
    if (cell) {
      const option = this.$(`.cell[data-cell="${label}"]`);
      if (scroll && option) {
        // Only the list scrolls; the page stays where the reader's eyes are.
        const list = this.$(".cells"), a = option.getBoundingClientRect(), b = list.getBoundingClientRect();
        if (a.top < b.top) list.scrollTop -= b.top - a.top + 6;
        else if (a.bottom > b.bottom) list.scrollTop += a.bottom - b.bottom + 6;
      }
      if (focus) option?.focus({ preventScroll: true });
      if (center) this.center(cell);
      this.say(`Cell ${label} of ${this.cells.length}, ${cell.type ? `${TYPE[cell.type].title}, ` : ""}${this.sizeInWords(cell)}`);
    }
    this.draw();
  }

  center(cell) {
    const [x0, y0, x1, y1] = cell.box;
    const side = Math.max(x1 - x0, y1 - y0), stage = Math.min(...this.box);
    let { scale } = this.view;
    if (side * scale < stage * 0.14) scale = Math.min((stage * 0.24) / side, MAX_SCALE);
    if (side * scale > stage * 0.8) scale = (stage * 0.6) / side;
    // In the middle, unless that would leave much of the stage empty beyond the image's edge.
    const place = (middle, size, box) => {
      if (size * scale <= box) return (box - size * scale) / 2;
      return Math.min(Math.max(box / 2 - middle * scale, box * 0.85 - size * scale), box * 0.15);
    };
    this.glide({ scale, x: place((x0 + x1) / 2, this.size[0], this.box[0]), y: place((y0 + y1) / 2, this.size[1], this.box[1]) });
  }

  step(by) {
    if (!this.cells?.length || !this.levels) return;
    const order = this.sorted();
    if (!order.length) return;
    const at = order.findIndex((c) => c.label === this.selected);
    // A cell that a change took out of the list has left its place to the next one.
    const left = this.left?.label === this.selected ? this.left.at : by > 0 ? 0 : order.length;
    const next = ((at < 0 ? (by > 0 ? left : left - 1) : at + by) + order.length) % order.length;
    this.select(order[next].label, { focus: this.$(".cells").contains(this.root.getRootNode().activeElement) });
  }

  cellAt(x, y) {
    if (!this.levels) return 0;
    const px = (x - this.view.x) / this.view.scale, py = (y - this.view.y) / this.view.scale;
    let best = null;
    for (const cell of this.cells) {
      const [x0, y0, x1, y1] = cell.box;
      if (px < x0 || px > x1 || py < y0 || py > y1) continue;
      if (this.probe.isPointInPath(cell.paths.cell, px, py) && (!best || cell.area < best.area)) best = cell;
    }
    return best?.label ?? 0;
  }

  // ---- what the reader does -----------------------------------------------------------------------------------

  listen() {
    const { canvas, root } = this;
    const on = (target, type, handler, options = {}) => target.addEventListener(type, handler, { signal: this.stop.signal, ...options });

    const acts = {
      "prev-file": () => this.emit("go", -1), "next-file": () => this.emit("go", 1),
      "zoom-in": () => this.zoomAt(1.4), "zoom-out": () => this.zoomAt(1 / 1.4), fit: () => this.fit(),
      help: () => this.$(".help").showModal(), "close-help": () => this.$(".help").close(),
      overlays: () => this.toggleAll(), reverse: () => { chosen.reversed = !chosen.reversed; this.page = 0; this.gallery(); },
      "let-go": () => this.select(0),
      "cell-back": () => this.step(-1), "cell-on": () => this.step(1),
      "page-back": () => { this.page -= 1; this.gallery(); }, "page-on": () => { this.page += 1; this.gallery(); },
      "scale-all": () => {
        this.enter(this.entered.um, this.header.scale_keys);
        // The button has gone.
        this.$(".scale input").focus({ preventScroll: true });
        this.say(`The scale is used for all ${this.header.scale_keys.length} files`);
      },
      undo: () => this.undo(), "undo-here": () => this.undo(),
      "save-csv": () => save(new Blob(["\ufeff", this.table()], { type: "text/csv" }), `${this.stem()}_cells.csv`),
      "save-count": () => save(new Blob(["\ufeff", this.countTable()], { type: "text/csv" }), `leuk_count_of_${this.together().pool.files}_files.csv`),
      "save-json": () => save(new Blob([JSON.stringify([this.corrected()], null, 2) + "\n"], { type: "application/json" }), `${this.stem()}_reading.json`),
      "save-png": () => this.savePicture(),
    };
    on(root, "click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button && button.getAttribute("aria-disabled") !== "true") acts[button.dataset.do]();
      // A menu closes on a choice made in it and on a click anywhere else.
      if (button || !event.target.closest(".menu")) this.$(".menu").open = false;
      const row = event.target.closest(".shares button");
      if (row) {
        const type = row.dataset.type;
        this.filter(chosen.show === type ? "all" : type);
        this.$(`.shares [data-type="${type}"]`)?.focus();
      }
      const type = event.target.closest("[data-set]");
      if (type && this.selected) this.setType(this.selected, type.dataset.set);
      const option = event.target.closest(".cell");
      if (option) {
        this.select(Number(option.dataset.cell), { focus: true });
        // On a narrow screen the list lies far below the image and what is told of the cell.
        if (matchMedia("(max-width: 1024px)").matches) this.$(".measures").scrollIntoView({ block: "start", behavior: "smooth" });
      }
      if (event.target === this.$(".help")) this.$(".help").close();
    });
    on(root, "input", (event) => {
      const row = event.target.closest(".layer");
      if (!row) return;
      const layer = chosen.layers[row.dataset.layer];
      if (event.target.type === "range") {
        layer.opacity = event.target.value / 100;
        layer.on = true;
      } else layer.on = event.target.checked;
      if (row.dataset.layer === "heat") chosen.heatWanted = layer.on;
      if (row.dataset.layer === "tiles") chosen.votesWanted = layer.on;
      chosen.all = true;
      this.changed();
    });
    on(this.$(".sort select"), "change", (event) => { chosen.sort = event.target.value; this.page = 0; this.gallery(); });
    on(this.$(".show select"), "change", (event) => this.filter(event.target.value));
    on(this.$(".scale"), "change", (event) => {
      const text = event.target.value.trim().replace(",", ".");
      const now = text ? Number(text) : null;
      if (now !== null && !(now >= 0.001 && now <= 10)) {
        event.target.setAttribute("aria-invalid", "true");
        this.$("#leuk-scale").replaceChildren(element("b", { class: "warn" }, "not taken: 0.001 to 10 µm per pixel, such as 0.21"));
        return;
      }
      if (now === this.entered.um) this.scale();
      else this.enter(now, [this.header.scale_key]);
    });
    on(this.$(".keys-on"), "change", (event) => { chosen.keys = event.target.checked; });
    on(this.$(".cells"), "keydown", (event) => this.listKey(event));

    on(canvas, "wheel", (event) => {
      if (!this.levels) return;
      event.preventDefault();
      const [x, y] = this.local(event);
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.gliding = null;
      this.zoomAt(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), x, y);
    }, { passive: false });
    on(canvas, "dblclick", () => this.fit());
    on(canvas, "pointerdown", (event) => this.down(event));
    on(canvas, "pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) on(canvas, type, (event) => this.up(event, type));
    on(canvas, "pointerleave", () => this.hover(0));
    on(canvas, "keydown", (event) => {
      const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!step || !this.levels || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.view.x += step[0] * 60;
      this.view.y += step[1] * 60;
      this.moved();
    });
    on(document, "keydown", (event) => this.key(event));
    on(window, "leuk-keep", () => this.flush());
    on(window, "leuk-others", () => { if (this.root.dataset.ready === "true" && this.header.state === "read" && window.leukOthers?.key === this.header.key) this.news(); });
  }

  local(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (!this.levels || (event.pointerType === "mouse" && event.button !== 0)) return;
    this.gliding = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.local(event));
    this.travel = this.pointers.size > 1 ? Infinity : 0;
    this.canvas.classList.add("dragging");
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    const now = this.local(event);
    if (!before) {
      if (event.pointerType === "mouse") this.hover(this.cellAt(...now), now);
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.pointers.set(event.pointerId, now);
    if (others.length) {
      const [other] = others;
      const length = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]);
      const middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
      const [ax, ay] = middle(before), [zx, zy] = middle(now);
      this.view.x += zx - ax;
      this.view.y += zy - ay;
      this.zoomAt(length(now) / Math.max(length(before), 1), zx, zy);
      return;
    }
    this.travel += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (this.travel < 5) return;
    // At rest a finger scrolls the page past the image; only a zoomed image is dragged by it.
    if (event.pointerType === "touch" && !this.canvas.classList.contains("zoomed")) return;
    this.view.x += now[0] - before[0];
    this.view.y += now[1] - before[1];
    this.moved();
  }

  up(event, type) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (!this.pointers.size) this.canvas.classList.remove("dragging");
    if (type === "pointerup" && this.travel < 5 && !this.pointers.size) {
      const label = this.cellAt(...this.local(event));
      if (label !== this.selected) this.select(label, { center: false });
    }
  }

  hover(label, at) {
    const tip = this.$(".tip");
    this.canvas.classList.toggle("over", label > 0);
    if (label) {
      const cell = this.cells[label - 1];
      tip.textContent = `Cell ${label} · ${cell.type ? `${this.typeWord(cell)} · ` : ""}${cell.nc_ratio === null ? "" : `N:C ${cell.nc_ratio.toFixed(2)} · `}${whole(cell.area)} px`;
      const left = Math.min(at[0], this.box[0] - 190), top = Math.min(at[1], this.box[1] - 44);
      tip.style.left = `${left}px`;
      tip.style.top = `${top}px`;
    }
    tip.hidden = !label;
    if (label !== this.hovered) {
      this.hovered = label;
      this.draw();
    }
  }

  listKey(event) {
    const options = [...this.root.querySelectorAll(".cell")];
    const at = options.indexOf(event.target.closest(".cell"));
    if (at < 0) return;
    const columns = getComputedStyle(this.$(".cells")).gridTemplateColumns.split(" ").length;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: options.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      const option = options[Math.min(Math.max(to, 0), options.length - 1)];
      this.select(Number(option.dataset.cell), { focus: true });
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.select(Number(options[at].dataset.cell), { focus: true });
    }
  }

  toggleAll() {
    chosen.all = !chosen.all;
    this.changed();
    this.say(chosen.all ? "Layers on" : "Layers off");
  }

  toggleHeat() {
    if (!Object.keys(this.heat ?? {}).length) return this.say("There is no heat map of this file");
    chosen.layers.heat.on = chosen.heatWanted = !chosen.layers.heat.on;
    chosen.all = true;
    this.changed();
    this.say(chosen.layers.heat.on ? `Heat map for ${this.label(this.target).title} on` : "Heat map off");
  }

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !this.root.isConnected) return;
    const from = event.composedPath()[0];
    if (from?.isContentEditable || (from?.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select, [role=combobox]"))) return;
    if (this.$(".help").open || document.querySelector('[role="dialog"]')) return;
    if (!chosen.keys && event.key !== "Escape") return;
    const act = {
      z: () => this.undo(),
      ...Object.fromEntries(this.selected && this.cells ? TYPES.map(({ key, press }) => [press.toLowerCase(), () => this.setType(this.selected, key)]) : []),
      n: () => this.leaf(1), p: () => this.leaf(-1), j: () => this.step(1), k: () => this.step(-1),
      o: () => this.toggleAll(),
      h: () => this.toggleHeat(),
      "+": () => this.zoomAt(1.4), "=": () => this.zoomAt(1.4), "-": () => this.zoomAt(1 / 1.4), "−": () => this.zoomAt(1 / 1.4), 0: () => this.fit(),
      "?": () => this.$(".help").showModal(),
      Escape: () => {
        if (this.$(".menu").open) {
          this.$(".menu").open = false;
          this.$(".menu summary").focus();
        } else if (this.selected && this.cells) this.select(0);
      },
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  leaf(by) {
    const { index, total } = this.header;
    if (index + by >= 0 && index + by < total) this.emit("go", by);
  }

  stem() { return this.header.name.replace(/\.[^.]+$/, "").replace(/[\\/:*?"<>|\s]+/g, "_") || "field"; }

  // What a picture passed on has to say by itself: lines of words, and of patches of colour that stand before theirs.
  caption() {
    const { header, record, cells } = this;
    const shown = this.visible(), { certain, lead } = this.verdict();
    const lines = [[{ text: header.name, bold: true }], [{ text: this.$(".facts").textContent }],
      [{ text: certain ? `${lead}, probability ${chance(record.probabilities[record.suggestion])}` : lead }]];
    const heat = header.heat[this.target];
    if (shown.heat) {
      lines.push([{ text: `Where the score for ${this.label(this.target).title} depends on the image, by ${header.explainers?.[heat.method] ?? heat.method}: no heat` },
        { fill: this.ramp, wide: 8 }, { text: "strong" }]);
    }
    if (shown.cells || shown.nuclei) {
      lines.push([["cells", CELL], ["nuclei", NUCLEUS]].filter(([key]) => shown[key]).flatMap(([text, fill]) => [{ fill, wide: 1 }, { text }]));
    }
    if (shown.tiles) {
      lines.push([{ text: `${this.votesName}:` }, ...header.classes.flatMap((key) => [{ fill: CLASS_COLORS[key] ?? "#ffffff", wide: 1 }, { text: this.label(key).short }])]);
    }
    // Narrow cells have room for no more than a number.
    const typed = shown.cells ? cells.filter((cell) => cell.type && this.shown.has(cell.label)) : [];
    if (typed.length) {
      const told = typed.filter((cell) => this.review.types[cell.label]).length;
      const kinds = TYPES.map(({ key, title }) => [title, typed.filter((cell) => cell.type === key).map((cell) => cell.label)]);
      lines.push([{ text: `Types, suggested${told ? ` (${told} told by a person)` : ""}: ${kinds.filter(([, labels]) => labels.length).map(([title, labels]) => `${title} ${labels.join(", ")}`).join("; ")}` }]);
    }
    const bar = this.length(header.display[0] / this.size[0], header.display[0] / 4);
    if (bar) lines.push([{ fill: "#16181d", px: bar.wide }, { text: bar.words }]);
    return [...lines, [{ text: "Research use only, not a medical device.", bold: true }]];
  }

  savePicture() {
    const [wide, high] = this.header.display;
    const { words, height } = typeset(this.probe, this.caption(), wide, this.family);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [wide, high + height];
    const scale = wide / this.size[0];
    const c = canvas.getContext("2d");
    c.setTransform(scale, 0, 0, scale, 0, 0);
    this.layers(c, scale, Math.max(1, Math.max(wide, high) / 900), false);
    c.setTransform(1, 0, 0, 1, 0, high);
    c.fillStyle = "#ffffff";
    c.fillRect(0, 0, wide, height);
    c.textBaseline = "middle";
    for (const { text, font, fill, x, y, width, size, tall } of words) {
      if (fill) {
        const ramp = c.createLinearGradient(x, 0, x + width, 0);
        [fill].flat().forEach((color, i, all) => ramp.addColorStop(i / Math.max(1, all.length - 1), color));
        c.fillStyle = ramp;
        c.fillRect(x, y - (size * tall) / 2, width, size * tall);
      } else {
        c.font = font;
        c.fillStyle = "#16181d";
        c.fillText(text, x, y, width);
      }
    }
    canvas.toBlob((blob) => save(blob, `${this.stem()}_overlay.png`), "image/png");
  }
}

// Where each word of a caption goes under a picture so many pixels wide, and how high it gets.
function typeset(c, lines, wide, family) {
  const size = 12 * Math.max(1, wide / 900), row = 1.45 * size, edge = 0.8 * size, most = wide - 2 * edge;
  const words = [];
  let y = edge + row / 2;
  for (const line of lines) {
    let x = edge;
    const put = (word, length, after) => {
      const width = Math.min(length, most);
      if (x + width > wide - edge && x > edge) [x, y] = [edge, y + row];
      words.push({ ...word, x, y, width, size });
      x += width + after;
    };
    for (const { text, bold, fill, wide: times, px } of line) {
      if (fill) put({ fill, tall: px ? 0.25 : 1 }, px ?? times * size, 0.4 * size);
      else {
        const font = `${bold ? 600 : 400} ${size}px ${family}`;
        c.font = font;
        const parts = text.split(" "), space = c.measureText(" ").width;
        parts.forEach((part, i) => put({ text: part, font }, c.measureText(part).width, i < parts.length - 1 ? space : 0.7 * size));
      }
    }
    y += row;
  }
  return { words, height: Math.ceil(y - row / 2 + edge) };
}

// Draw lines over a darker rim, one path after the other: hundreds of outlines joined to one take three times as long.
function strokes(c, paths, unit, color, width, opacity) {
  c.globalAlpha = opacity * 0.5;
  c.lineWidth = (width + 2) * unit;
  c.strokeStyle = "#0b0c10";
  for (const one of paths) c.stroke(one);
  c.globalAlpha = opacity;
  c.lineWidth = width * unit;
  c.strokeStyle = color;
  for (const one of paths) c.stroke(one);
  c.globalAlpha = 1;
}

// Polygons in tenths of a pixel as a path; points nearer than `least` pixels to the one before are left out.
function path(polygons, least = 0) {
  const out = new Path2D();
  for (const points of polygons) {
    let [x, y] = points;
    out.moveTo(x / 10, y / 10);
    for (let i = 2; i < points.length; i += 2) {
      if (Math.hypot(points[i] - x, points[i + 1] - y) < least * 10) continue;
      [x, y] = [points[i], points[i + 1]];
      out.lineTo(x / 10, y / 10);
    }
    out.closePath();
  }
  return out;
}

// A cell's outline as far as it can be told apart where one pixel of the screen shows `unit` of the image: of large
// fields most points fall together.
function outline(cell, part, unit) {
  const halved = Math.floor(Math.log2(unit));
  if (halved < 0) return cell.paths[part];
  cell.coarse[part][halved] ??= path(cell.polygons[part], 2 ** halved);
  return cell.coarse[part][halved];
}

// The image at full size and halved again and again: a zoomed-out view of five megapixels draws the small one.
async function pyramid(blob) {
  const levels = [await createImageBitmap(blob)];
  while (levels.at(-1).width > 1400) {
    const last = levels.at(-1);
    const options = { resizeWidth: Math.round(last.width / 2), resizeHeight: Math.round(last.height / 2), resizeQuality: "medium" };
    levels.push(await createImageBitmap(last, options));
  }
  return levels;
}

function colors(hex) {
  const out = [];
  for (let i = 0; i < hex.length; i += 2) out.push(parseInt(hex.slice(i, i + 2), 16));
  return out;
}

// Smooth the coarse grey map first and colour it then: colours mixed on the way would not be on the scale.
async function heatCanvas(blob, table, [w, h]) {
  const small = await createImageBitmap(blob);
  const factor = 384 / Math.max(w, h);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(w * factor));
  canvas.height = Math.max(1, Math.round(h * factor));
  const c = canvas.getContext("2d", { willReadFrequently: true });
  c.imageSmoothingQuality = "high";
  c.drawImage(small, 0, 0, canvas.width, canvas.height);
  small.close();
  const pixels = c.getImageData(0, 0, canvas.width, canvas.height);
  const d = pixels.data;
  for (let i = 0; i < d.length; i += 4) {
    const heat = d[i];
    d[i] = table[heat * 3];
    d[i + 1] = table[heat * 3 + 1];
    d[i + 2] = table[heat * 3 + 2];
    d[i + 3] = heat;
  }
  c.putImageData(pixels, 0, 0);
  return canvas;
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
