// The files of this visit: thumbnails with their state, one chosen; and what concerns all of them.

const strips = new WeakMap();
const ICONS = {
  waiting: '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8"/><path d="M12 7.5V12l3 2"/></svg>',
  stopped: '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8"/><path d="M9.5 9.5v5M14.5 9.5v5"/></svg>',
  refused: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 4 21 19.5H3zM12 10v4.5M12 17v.2"/></svg>',
};
const MARK = "\ufeff"; // without it, Excel reads a CSV as if it were in the machine's old code page
const CROSS = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="m4 4 8 8M12 4l-8 8"/></svg>';

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let strip = strips.get(parentElement);
  if (!strip) {
    strip = new Strip(parentElement.querySelector(".strip"));
    strips.set(parentElement, strip);
  }
  strip.emit = setTriggerValue;
  strip.show(data);
  return () => strips.delete(parentElement);
}

class Strip {
  constructor(root) {
    this.root = root;
    this.list = root.querySelector(".files");
    this.given = null;
    root.addEventListener("click", (event) => {
      const all = event.target.closest("[data-all]");
      if (all?.dataset.all === "clear") {
        if (!this.sure(all, [[all, `Remove all ${this.list.children.length}?`]])) return;
        window.leukReviews?.clear();
      }
      // The viewer tells its changes a moment late; what is asked of all files comes after the last of them.
      if (all) window.dispatchEvent(new Event("leuk-keep"));
      if (all) return this.emit("all", all.dataset.all);
      const file = event.target.closest(".file");
      if (!file) return;
      if (event.target.closest("button")) this.remove(file);
      else this.choose(file);
    });
    this.list.addEventListener("keydown", (event) => {
      const files = [...this.list.children];
      const at = files.indexOf(event.target);
      if (at < 0) return;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: files.length - 1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        const file = files[Math.min(Math.max(to, 0), files.length - 1)];
        file.focus();
        this.choose(file);
      } else if (event.key === "Delete") this.remove(event.target);
      else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.choose(event.target);
      }
    });
  }

  // What was changed in a file goes with it; whatever way of finding cells it was changed under.
  remove(file) {
    const mine = [...(window.leukReviews ?? [])].filter(([key]) => key.startsWith(`${file.dataset.id}/`));
    const changes = mine.reduce((sum, [, review]) => sum + review.changes, 0);
    const button = file.querySelector("button"), state = file.querySelector(".text > span");
    if (changes && !this.sure(button, [[state, `${changes} ${changes > 1 ? "changes" : "change"} would be lost`], [button, "Remove?"]])) return;
    for (const [key] of mine) window.leukReviews.delete(key);
    this.emit("remove", file.dataset.id);
  }

  // Whether to remove: what was read and changed would be lost, so it takes a second press. `words` are the nodes that
  // ask, and what they say meanwhile.
  sure(button, words) {
    const again = this.asked?.button === button;
    this.settle();
    if (again) return true;
    button.classList.add("asked");
    const was = words.map(([node]) => [node, [...node.childNodes]]);
    for (const [node, text] of words) node.replaceChildren(text);
    this.root.querySelector(".live").textContent = `${words.map(([, text]) => text).join(". ")} Press again to remove.`;
    this.asked = { button, was, timer: setTimeout(() => this.settle(), 5000) };
    return false;
  }

  settle() {
    if (!this.asked) return;
    const { button, was, timer } = this.asked;
    clearTimeout(timer);
    this.asked = null;
    button.classList.remove("asked");
    for (const [node, children] of was) node.replaceChildren(...children);
    this.root.querySelector(".live").textContent = "";
  }

  choose(file) {
    if (file.getAttribute("aria-selected") === "true") return;
    this.mark(file.dataset.id);
    this.emit("choose", file.dataset.id);
  }

  mark(id) {
    for (const file of this.list.children) {
      const on = file.dataset.id === id;
      file.setAttribute("aria-selected", on);
      file.tabIndex = on ? 0 : -1;
      if (on) {
        const a = file.getBoundingClientRect(), b = this.list.getBoundingClientRect();
        if (a.left < b.left) this.list.scrollLeft -= b.left - a.left + 40;
        else if (a.right > b.right) this.list.scrollLeft += a.right - b.right + 40;
      }
    }
  }

  show({ files, chosen, sum, download, others }) {
    window.leukOthers = others;
    window.dispatchEvent(new Event("leuk-others"));
    const known = new Map([...this.list.children].map((node) => [node.dataset.id, node]));
    const nodes = files.map((file) => {
      const look = JSON.stringify(file);
      let node = known.get(file.id);
      if (!node) {
        node = document.createElement("div");
        node.className = "file";
        node.setAttribute("role", "option");
        node.dataset.id = file.id;
        node.tabIndex = -1;
      }
      if (node.look !== look) {
        node.look = look;
        this.fill(node, file);
      }
      return node;
    });
    const active = this.root.getRootNode().activeElement;
    const at = [...this.list.children].findIndex((node) => node.contains(active));
    const gone = at >= 0 && !nodes.includes(this.list.children[at]);
    // Moving a node that has the focus would lose it, so only the differences are touched.
    for (const node of known.values()) if (!nodes.includes(node)) node.remove();
    nodes.forEach((node, i) => {
      if (this.list.children[i] !== node) this.list.insertBefore(node, this.list.children[i] ?? null);
    });
    this.mark(chosen);
    // The focus of a file that was removed goes to its neighbour.
    if (gone) nodes[Math.min(at, nodes.length - 1)]?.focus();
    this.root.querySelector(".sum").textContent = sum;
    const done = files.filter(({ state }) => state === "read" || state === "refused").length;
    const part = done < files.length && ` (${done} of ${files.length})`;
    const offer = (what, words, title, can, use = "") => {
      const button = this.root.querySelector(`[data-all="${what}"]`);
      button.textContent = part ? words[0].toUpperCase() + words.slice(1) + part : `All ${words}`;
      button.title = `${title} of ${part ? "the files that are read by now" : "all files"}${use}`;
      button.disabled = !can;
    };
    offer("csv", "cells CSV", "The cells", files.some(({ state }) => state === "read"));
    offer("json", "readings JSON", "The readings", done > 0, "; added again with the photographs, it gives back what you changed");
    if (download && download.id !== this.given) {
      this.given = download.id;
      const url = URL.createObjectURL(new Blob([download.type === "text/csv" ? MARK : "", download.text], { type: download.type }));
      const link = document.createElement("a");
      link.href = url;
      link.download = download.name;
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    }
  }

  fill(node, file) {
    node.dataset.state = file.state;
    node.title = `${file.name}\n${file.text}`;
    node.setAttribute("aria-label", `${file.name}: ${file.text}`);
    let picture;
    if (file.thumbnail) {
      picture = document.createElement("img");
      picture.src = `data:image/jpeg;base64,${file.thumbnail}`;
      picture.alt = "";
      picture.className = "thumb";
    } else {
      picture = document.createElement("div");
      picture.className = "thumb";
      picture.innerHTML = file.state === "reading" ? '<div class="spin"></div>' : ICONS[file.state] ?? "";
    }
    const text = document.createElement("div");
    text.className = "text";
    const name = document.createElement("b"), state = document.createElement("span");
    // Names of one series differ at their ends, which stay in sight.
    const cut = Math.max(0, file.name.length - 10);
    const start = document.createElement("span"), end = document.createElement("span");
    start.textContent = file.name.slice(0, cut);
    end.textContent = file.name.slice(cut);
    name.append(start, end);
    state.textContent = file.text;
    text.append(name, state);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.tabIndex = -1;
    remove.innerHTML = CROSS;
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.title = "Remove (Delete)";
    node.replaceChildren(picture, text, remove);
  }
}
