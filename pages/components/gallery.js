export default (component) => keep(component, Gallery);

class Gallery {
  constructor(root) {
    this.root = root;
    root.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) return this.open(tile);
      const to = event.target.closest("[data-page]");
      if (to) this.emit("page", { panel: to.closest(".panel").dataset.id, page: +to.dataset.page });
    });
    root.addEventListener("keydown", (event) => {
      const tiles = [...event.target.closest(".tiles")?.children ?? []];
      const at = tiles.indexOf(event.target);
      if (at < 0) return;
      const across = tiles.filter((t) => t.offsetTop === tiles[0].offsetTop).length;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across, Home: 0, End: tiles.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const tile = tiles[Math.min(Math.max(to, 0), tiles.length - 1)];
      for (const other of tiles) other.tabIndex = other === tile ? 0 : -1;
      tile.focus();
    });
    this.stop = new AbortController();
    document.addEventListener("keydown", (event) => {
      if (typing(event) || event.key.toLowerCase() !== "n" || !this.root.isConnected) return;
      const first = this.root.querySelector(".panel.first .tile");
      if (first) this.open(first);
    }, { signal: this.stop.signal });
  }

  destroy() { this.stop.abort(); }

  open(tile) { this.emit("open", { panel: tile.closest(".panel").dataset.id, row: +tile.dataset.row }); }

  show({ panels, columns, focus }) {
    this.root.style.setProperty("--columns", columns);
    const known = new Map([...this.root.children].map((node) => [node.dataset.id, node]));
    const nodes = panels.map((panel) => {
      const look = JSON.stringify(panel);
      const old = known.get(panel.id);
      if (old?.look === look) return old;
      const node = this.panel(panel);
      node.look = look;
      return node;
    });
    this.root.replaceChildren(...nodes);
    for (const tile of this.root.querySelectorAll(".tile")) tile.setAttribute("aria-current", +tile.dataset.row === focus);
  }

  panel({ id, title, note, kind, first, empty, total, page, pages, items }) {
    const node = element("section", { class: `panel ${kind ?? ""} ${first ? "first" : ""}`, "data-id": id, "aria-label": title });
    if (title) node.append(element("header", {}, element("h2", {}, title), first && items.length ? element("span", { class: "quiet hint" }, element("kbd", {}, "N"), " opens the first") : null, note ? element("p", { class: "quiet" }, note) : null));
    if (!items.length) {
      node.append(element("div", { class: "empty" }, empty ?? "Nothing here"));
      return node;
    }
    node.append(element("div", { class: "tiles" }, items.map((item, i) => element("button", {
      type: "button", class: "tile", "data-row": item.row, tabindex: i ? "-1" : "0", title: `${item.name}\n${item.say}`, "aria-label": `${item.name}: ${item.say}`,
    }, element("div", { class: "pics" }, picture(item.thumb, item.name.split("/").pop()), item.twin !== undefined ? picture(item.twin, "no twin") : null),
      element("span", { class: item.wrong ? "cap wrong" : "cap" }, element("span", {}, item.cap), item.value ? element("i", {}, item.value) : null),
      element("span", { class: "sub" }, item.sub),
      item.mark ? element("span", { class: "badge", "data-mark": item.mark }, item.marktext) : null))));
    if (pages > 1) {
      node.append(element("nav", { class: "pager", "aria-label": "Pages" },
        element("button", { type: "button", "data-page": page - 1, disabled: page === 0 }, "Previous"),
        element("span", { class: "quiet" }, `Page ${page + 1} of ${pages} · ${whole(total)} images`),
        element("button", { type: "button", "data-page": page + 1, disabled: page >= pages - 1 }, "Next")));
    }
    return node;
  }
}
