export default (component) => keep(component, Inspector);

const CELL = "#ffd400", NUCLEUS = "#00e5ff";
// Choices outlive a change of image.
const layers = { outlines: true, heat: true };
// Comments that wait for their decision, by data set, reviewer and file.
const drafts = new Map();
const draftOf = (header, name = header.name) => JSON.stringify([header.set, header.reviewer, name]);

function unpack(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const length = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + length)));
  const blob = (name) => {
    const place = header.blobs[name];
    return place ? new Blob([data.subarray(8 + length + place.offset, 8 + length + place.offset + place.length)], { type: place.type }) : null;
  };
  return { header, blob };
}

function path(polygons) {
  const made = new Path2D();
  for (const points of polygons) {
    for (let i = 0; i < points.length; i += 2) made[i ? "lineTo" : "moveTo"](points[i] / 10, points[i + 1] / 10);
    made.closePath();
  }
  return made;
}

// Alpha would be multiplied in if the browser drew the grey picture itself, so it is read as numbers.
async function heatCanvas(blob, table) {
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const image = pen.getImageData(0, 0, canvas.width, canvas.height), px = image.data;
  for (let i = 0; i < px.length; i += 4) {
    const g = px[i];
    px[i] = table[g * 3]; px[i + 1] = table[g * 3 + 1]; px[i + 2] = table[g * 3 + 2]; px[i + 3] = g;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

class Inspector {
  constructor(root) {
    this.root = root;
    this.token = 0;
    this.stop = new AbortController();
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.act(button.dataset.do, button.dataset.of);
    });
    document.addEventListener("keydown", (event) => {
      if (!this.root.isConnected) return;
      const inside = event.composedPath()[0];
      if (inside instanceof HTMLTextAreaElement && inside.getRootNode() === this.root.getRootNode()) {
        if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) inside.blur();
        return;
      }
      if (typing(event)) return;
      const what = {
        n: "next", ArrowRight: "next", p: "prev", ArrowLeft: "prev", Escape: "close", 1: "mark:0", 2: "mark:1", 3: "mark:2",
        0: "mark:-1", c: "comment", o: "outlines", h: "heat",
      }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!what) return;
      event.preventDefault();
      // A key held down walks on, but must not decide on one image after the other.
      if (event.repeat && what !== "next" && what !== "prev") return;
      if (what.startsWith("mark:")) this.act("mark", what.slice(5));
      else this.act(what);
    }, { signal: this.stop.signal });
  }

  destroy() { this.stop.abort(); this.token += 1; }

  $(selector) { return this.root.querySelector(selector); }

  act(what, of) {
    const { header } = this;
    if (!header) return;
    if (what === "outlines" || what === "heat") { layers[what] = !layers[what]; return this.draw(); }
    if (what === "comment") return this.$("textarea")?.focus();
    // One step at a time: keys pressed while the next image is on its way wait for it.
    // A word that got lost must not lock the keys.
    if (this.busy && Date.now() - this.sent < 5000) { (this.line ??= []).push([what, of, header.row]); return; }
    const send = (name, value) => { this.busy = true; this.sent = Date.now(); this.emit(name, value); };
    if (what === "close") send("close", header.stamp);
    if (what === "prev" && header.index > 0) send("go", header.film[header.index - 1 - header.filmStart]?.row ?? "prev");
    if (what === "next" && header.index < header.total - 1) send("go", header.film[header.index + 1 - header.filmStart]?.row ?? "next");
    if (what === "jump") send("go", +of);
    if (what === "look") send("look", +of);
    if (what === "mark") {
      const decision = +of < 0 ? "" : header.decisions[+of].key, comment = this.$("textarea")?.value ?? "";
      // A decision that is taken back leaves its comment to the next one.
      if (!decision && header.decision) drafts.set(draftOf(header), comment);
      send("mark", { row: header.row, decision, comment });
    }
  }

  show(data) {
    const { header, blob } = unpack(data);
    const before = this.header;
    this.header = header;
    this.address();
    const same = before && before.row === header.row;
    if (!before || before.stamp !== header.stamp) this.busy = false;
    if (!same || before.look !== header.look) {
      if (!same) this.root.dataset.ready = "false";
      this.head();
      this.film();
      this.verdict();
      this.decide(same);
      this.below();
      this.panes(blob, same);
      if (!same) this.$(".live").textContent = `${header.name}, ${header.index + 1} of ${header.total}, labelled ${header.label}, called ${header.called ?? "nothing"}`;
    }
    while (!this.busy && this.line?.length) {
      const [what, of, row] = this.line.shift();
      // What was decided of an image that is gone by now was not meant for one that nobody has seen yet.
      if (what !== "mark" || row === header.row) this.act(what, of);
    }
  }

  // Where walking led goes into the address without an entry in the browser's history: a reload finds it again, and
  // Back still leads to the list.
  address() {
    const { header } = this, url = new URL(location.href);
    if (url.searchParams.get("image") !== header.image) return;
    if (header.row === header.opened) url.searchParams.delete("at");
    else url.searchParams.set("at", header.row);
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

  head() {
    const { header } = this;
    this.$(".back").textContent = `‹ ${header.back}`;
    this.$(".name").textContent = header.name;
    this.$(".facts").textContent = header.facts;
    this.$(".place").textContent = `${header.index + 1} of ${header.total}`;
    this.$('[data-do="prev"]').disabled = header.index === 0;
    this.$('[data-do="next"]').disabled = header.index >= header.total - 1;
  }

  film() {
    const { header } = this;
    const box = this.$(".film");
    const look = JSON.stringify([header.film, header.row]);
    if (look === this.filmLook) return;
    this.filmLook = look;
    box.replaceChildren(...header.film.map((one) => element("button", {
      type: "button", role: "option", "data-do": "jump", "data-of": one.row, "aria-selected": one.row === header.row, tabindex: one.row === header.row ? 0 : -1, title: one.name, "aria-label": one.name,
    }, picture(one.thumb), one.mark ? element("i", { "data-mark": one.mark }) : null)));
    const at = box.querySelector('[aria-selected="true"]');
    if (at) box.scrollLeft = at.offsetLeft - box.offsetLeft - box.clientWidth / 2 + 26;
  }

  verdict() {
    const { header } = this;
    const box = this.$(".verdict");
    const list = element("dl", {}, element("dt", {}, "Labelled"), element("dd", {}, header.label));
    if (header.called) list.append(element("dt", {}, "Called"), element("dd", { class: header.wrong ? "wrong" : null }, header.called));
    box.replaceChildren(list);
    if (header.bars.length) {
      box.append(element("div", { class: "bars", role: "list", "aria-label": "Probabilities" }, header.bars.map((bar) => element("div", { class: "b", role: "listitem" },
        element("span", { class: "n", title: bar.title }, bar.short), element("span", { class: "t", "aria-hidden": "true" }, element("i", { style: `--c:${color(bar.index)};width:${(bar.p * 100).toFixed(2)}%` })), element("span", { class: "v" }, percent(bar.p))))));
      box.append(element("p", { class: "quiet" }, header.source));
    } else box.append(element("p", { class: "quiet" }, header.source));
  }

  decide(same) {
    const { header } = this;
    const box = this.$(".decide");
    const written = this.$("textarea");
    const kept = same && written && written === this.root.getRootNode().activeElement ? written.value : null;
    const marks = element("div", { class: "marks", role: "group" }, header.decisions.map((one, i) => element("button", {
      type: "button", "data-do": "mark", "data-of": i, "aria-pressed": header.decision === one.key,
    }, one.title, element("kbd", {}, String(i + 1)))));
    const area = written ?? element("textarea", { rows: 2, maxlength: 2000, "aria-label": "Comment", placeholder: "Comment (kept with the decision)" });
    if (!written) area.addEventListener("input", () => {
      if (!this.header.decision) drafts.set(draftOf(this.header), area.value);
    });
    if (!written) area.addEventListener("change", () => {
      if (this.header.decision) { this.busy = true; this.sent = Date.now(); this.emit("comment", { row: this.header.row, decision: this.header.decision, comment: area.value }); }
    });
    // A draft is done with once its decision is stored, not when it was sent: storing may fail.
    for (const one of header.film) if (one.mark) drafts.delete(draftOf(header, one.name));
    if (kept === null) area.value = header.comment || (drafts.get(draftOf(header)) ?? "");
    const head = element("h3", {}, element("span", {}, header.reviewer ? `Your decision, as ${header.reviewer}` : "Your decision"), element("small", { class: "progress" }, header.progress));
    const unnamed = header.reviewer ? null : element("p", { class: "quiet unnamed" }, "Stored without a name, as for all who enter none: enter yours under Reviewer, above the list, and what you decided in this visit goes along.");
    const elsewhere = header.elsewhere ? element("p", { class: "quiet elsewhere" }, header.elsewhere) : null;
    const back = header.decision ? element("button", { type: "button", "data-do": "mark", "data-of": "-1", style: "margin-top:7px;width:100%" }, "Take back") : null;
    if (!written) box.replaceChildren(head, marks, area);
    else {
      for (const old of box.querySelectorAll(".unnamed, .elsewhere")) old.remove();
      box.querySelector("h3").replaceWith(head);
      box.querySelector(".marks").replaceWith(marks);
      box.querySelector(":scope > button")?.remove();
    }
    head.after(...[unnamed, elsewhere].filter(Boolean));
    if (back) box.append(back);
  }

  below() {
    const { header } = this;
    const box = this.$(".below");
    const cards = [];
    cards.push(element("section", { class: "card" }, element("h3", {}, header.near.title), element("p", { class: "quiet" }, header.near.note),
      header.near.items.length ? element("div", { class: "near" }, header.near.items.map((one) => element("button", { type: "button", "data-do": "look", "data-of": one.row, title: one.name, "aria-label": `${one.name}, labelled ${one.label}${one.where ? ", " + one.where : ""}` },
        picture(one.thumb), element("b", {}, one.label), element("span", { class: one.same ? "same" : null }, one.where)))) : null));
    const ranges = element("section", { class: "card" }, element("h3", {}, "Measured against both classes"), element("p", { class: "quiet" }, header.ranges.note));
    if (header.ranges.items.length) {
      ranges.append(element("div", { class: "legend" }, header.ranges.legend.map((one) => element("span", {}, element("i", { style: `--c:${color(one.index)}` }), one.title))));
      for (const one of header.ranges.items) ranges.append(this.range(one));
    }
    cards.push(ranges);
    const others = element("section", { class: "card" }, element("h3", {}, "What other systems said"), element("p", { class: "quiet" }, header.others.note));
    if (header.others.items.length) others.append(element("div", { class: "other" }, header.others.items.map((one) => [
      element("span", { title: one.system }, one.system), element("span", { class: one.wrong ? "wrong" : "right" }, one.called), element("span", {}, percent(one.p))])));
    cards.push(others);
    box.replaceChildren(...cards);
  }

  range({ name, text, value, low, high, quantiles }) {
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("viewBox", "0 0 100 22");
    svg.setAttribute("aria-hidden", "true");
    const at = (v) => ((v - low) / (high - low || 1)) * 100;
    const line = (x1, x2, y, width, stroke, opacity = 1) => {
      const node = document.createElementNS(ns, "line");
      for (const [k, v] of Object.entries({ x1, x2, y1: y, y2: y, "vector-effect": "non-scaling-stroke", "stroke-width": width })) node.setAttribute(k, v);
      node.style.cssText = `stroke:${stroke};opacity:${opacity}`;
      svg.append(node);
    };
    quantiles.forEach(({ index, q }, i) => {
      const y = quantiles.length > 1 ? 6 + i * 10 : 11;
      line(at(q[0]), at(q[4]), y, 1.5, color(index));
      line(at(q[1]), at(q[3]), y, 6, color(index), 0.75);
      const node = document.createElementNS(ns, "line");
      for (const [k, v] of Object.entries({ x1: at(q[2]), x2: at(q[2]), y1: y - 4, y2: y + 4, "vector-effect": "non-scaling-stroke", "stroke-width": 1.5 })) node.setAttribute(k, v);
      node.style.stroke = "var(--panel)";
      svg.append(node);
    });
    const mine = document.createElementNS(ns, "line");
    for (const [k, v] of Object.entries({ x1: at(value), x2: at(value), y1: 0, y2: 22, "vector-effect": "non-scaling-stroke", "stroke-width": 2.5 })) mine.setAttribute(k, v);
    mine.style.stroke = "var(--ink)";
    svg.append(mine);
    return element("div", { class: "range" }, element("span", { class: "n" }, name), svg, element("span", { class: "v" }, text));
  }

  async panes(blob, same) {
    const { header } = this;
    const token = ++this.token;
    const box = this.$(".panes");
    const photo = blob("image");
    const bitmap = photo ? await createImageBitmap(photo) : null;
    const table = header.colors ? Uint8Array.from(header.colors.match(/../g), (h) => parseInt(h, 16)) : null;
    const heats = {};
    for (const pane of header.panes) if (pane.heat && blob(`heat:${pane.heat}`)) heats[pane.heat] = await heatCanvas(blob(`heat:${pane.heat}`), table);
    if (token !== this.token) return;
    this.bitmap = bitmap;
    this.heats = heats;
    this.paths = header.outlines ? { cell: path(header.outlines.flatMap((o) => o.cell)), nucleus: path(header.outlines.flatMap((o) => o.nucleus)) } : null;
    const figures = header.panes.map((pane) => {
      const shot = element("div", { class: "shot" });
      if (bitmap) {
        const canvas = element("canvas", { role: "img", "aria-label": `${header.name}: ${pane.title}` });
        canvas.pane = pane;
        shot.append(canvas);
        if (pane.wait) shot.append(element("span", { class: "wait" }, pane.wait));
      } else shot.append(element("p", { class: "none" }, header.missing));
      return element("figure", { class: "card" }, element("figcaption", {}, element("b", {}, pane.title), element("small", {}, pane.sub)), shot, element("div", { class: "foot" }, (pane.foot ?? []).map((line) => element("div", { class: line.low ? "low" : null }, line.text))));
    });
    box.dataset.count = figures.length;
    box.replaceChildren(...figures);
    this.draw();
    this.root.dataset.ready = "true";
    this.root.dataset.heat = header.panes.some((pane) => pane.wait) ? "waiting" : Object.keys(heats).length ? "drawn" : "none";
    this.root.dataset.row = header.row;
  }

  draw() {
    const { bitmap, header } = this;
    if (!bitmap) return;
    // Drawn at three times the photograph's size or so, that outlines stay fine lines.
    const scale = Math.max(1, Math.min(4, Math.round(900 / bitmap.width)));
    const reduce = header.size ? bitmap.width / header.size[0] : 1;
    for (const canvas of this.root.querySelectorAll(".shot canvas")) {
      canvas.width = bitmap.width * scale;
      canvas.height = bitmap.height * scale;
      const pen = canvas.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const heat = canvas.pane.heat && this.heats[canvas.pane.heat];
      if (heat && layers.heat) {
        pen.globalAlpha = 0.62;
        pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
        pen.globalAlpha = 1;
      }
      if (this.paths && layers.outlines) {
        pen.setTransform(scale * reduce, 0, 0, scale * reduce, 0, 0);
        for (const [part, stroke] of [["cell", CELL], ["nucleus", NUCLEUS]]) {
          if (heat && part === "nucleus") continue;
          pen.lineWidth = (heat ? 2 : 2.6) / (scale * reduce) * Math.max(1, canvas.width / 600);
          pen.strokeStyle = "rgba(0,0,0,.3)";
          pen.lineWidth *= 1.6;
          pen.stroke(this.paths[part]);
          pen.lineWidth /= 1.6;
          pen.strokeStyle = stroke;
          pen.stroke(this.paths[part]);
        }
      }
    }
  }
}
