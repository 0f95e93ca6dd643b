// What the explorer's components share.

const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "style") node.style.cssText = value;
    else node.setAttribute(key, value === true && !key.startsWith("aria-") ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
};
const percent = (x) => {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  const p = x * 100;
  if (p > 0 && p < 0.1) return "< 0.1 %";
  if (p < 100 && p > 99.9) return "> 99.9 %";
  return (p < 10 || p > 90 ? p.toFixed(1) : p.toFixed(0)) + " %";
};
const whole = (x) => Math.round(x).toLocaleString("en");
const picture = (thumb, missing = "image not here") => thumb
  ? element("img", { class: "pic", src: `data:image/jpeg;base64,${thumb}`, alt: "", draggable: "false" })
  : element("div", { class: "pic none" }, missing);
const color = (index) => `var(--c${index % 7})`;
// Keys act wherever the focus is, unless something is being written, or another widget uses them.
const typing = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  const at = event.composedPath()[0];
  if (!(at instanceof Element)) return false;
  // These use the arrows and the space bar, but no letters.
  if (at.matches("[role=slider], [role=radio], [role=tab], input[type=radio]")) return event.key.length > 1 || event.key === " ";
  return at.matches("input, textarea, select, [contenteditable=true], [role=combobox]");
};
const parts = new WeakMap();
const keep = (component, Part) => {
  const { data, parentElement, setTriggerValue } = component;
  let part = parts.get(parentElement);
  if (!part) {
    part = new Part(parentElement.querySelector(".x"));
    parts.set(parentElement, part);
  }
  part.emit = setTriggerValue;
  part.show(data);
  return () => {
    part.destroy?.();
    parts.delete(parentElement);
  };
};
