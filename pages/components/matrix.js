export default (component) => keep(component, Matrix);

class Matrix {
  constructor(root) {
    this.root = root;
    this.slider = root.querySelector("input");
    root.querySelector(".wrap").addEventListener("click", (event) => {
      const cell = event.target.closest("button[data-cell]");
      if (cell) this.emit("cell", cell.dataset.cell);
    });
    // The counts follow the finger; the images below follow when it lets go.
    this.slider.addEventListener("input", () => { this.step = +this.slider.value; this.count(); });
    this.slider.addEventListener("change", () => this.emit("threshold", +this.slider.value));
    root.querySelector(".reset").addEventListener("click", () => {
      this.step = null;
      this.count();
      this.emit("threshold", "likeliest");
    });
  }

  show(data) {
    this.data = data;
    this.step = data.step;
    this.table();
    this.root.querySelector(".point").hidden = !data.curve;
    this.root.querySelector(".rests").textContent = data.rests ?? "";
    if (data.curve) this.count();
  }

  table() {
    const { classes, counts, chosen, benign } = this.data;
    const look = JSON.stringify([classes, counts, chosen]);
    if (look === this.look) return;
    this.look = look;
    const focused = this.root.getRootNode().activeElement?.dataset?.cell;
    const head = element("tr", {}, element("th", { class: "rowhead" }), classes.map((c) => element("th", { scope: "col", title: c.title }, c.short)),
      element("th", { class: "recall", scope: "col", title: "Share of the images of this label that were called so" }, "recall"));
    const rows = counts.map((row, t) => {
      const total = row.reduce((a, b) => a + b, 0);
      return element("tr", { class: t === benign ? "benign" : null }, element("th", { class: "rowhead", scope: "row", title: classes[t].title }, classes[t].short),
        row.map((n, c) => {
          const share = total ? n / total : 0;
          const tint = t === c ? "var(--accent)" : "var(--wrong)";
          // Small shares of errors must not vanish: the eye goes by the root.
          const strength = n ? (t === c ? 6 + 26 * share : 12 + 60 * Math.sqrt(share)) : 0;
          return element("td", {}, element("button", {
            type: "button", "data-cell": `${t},${c}`, disabled: !n, "aria-pressed": chosen && chosen[0] === t && chosen[1] === c ? "true" : "false",
            style: `--tint:${tint};--share:${strength.toFixed(0)}%`,
            "aria-label": `${whole(n)} labelled ${classes[t].title}, called ${classes[c].title}`, title: `${whole(n)} labelled ${classes[t].title}, called ${classes[c].title} (${percent(share)})`,
          }, whole(n)));
        }), element("td", { class: "recall" }, percent(total ? row[t] / total : NaN)));
    });
    this.root.querySelector(".wrap").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, rows)));
    if (focused) this.root.querySelector(`[data-cell="${focused}"]`)?.focus();
  }

  count() {
    const { curve, called } = this.data;
    const now = this.step === null ? called : curve[this.step];
    this.slider.value = this.step ?? 50;
    this.root.querySelector(".how").textContent = this.step === null
      ? "Called what is likeliest. Move to call malignant from a probability upwards:"
      : `Called malignant from ${(this.step / 100).toFixed(2)} upwards`;
    this.slider.setAttribute("aria-valuetext", this.step === null ? "likeliest class" : (this.step / 100).toFixed(2));
    this.root.querySelector(".reset").hidden = this.step === null;
    this.root.querySelector(".pair").replaceChildren(
      element("div", { class: "alarms" }, element("b", {}, whole(now.false_alarms)), element("span", {}, now.false_alarms === 1 ? "false alarm" : "false alarms"), element("span", {}, `of ${whole(now.benign)} benign`)),
      element("div", { class: "misses" }, element("b", {}, whole(now.misses)), element("span", {}, now.misses === 1 ? "miss" : "misses"), element("span", {}, `of ${whole(now.malignant)} malignant`)));
    const rate = (name, value, [low, high]) => [element("span", {}, name), element("b", {}, percent(value)), element("span", {}, low === null ? "no interval" : `${percent(low)} to ${percent(high)}`)];
    this.root.querySelector(".rates").replaceChildren(
      ...rate("Specificity", now.specificity, now.specificity_interval), ...rate("Sensitivity", now.sensitivity, now.sensitivity_interval));
  }
}
