// What holds on every page.

// A visit's files are in the server's memory, which neither a reload nor a restart of the server finds again.
const HELD = "leuk-files";

function tellIfLost(place, { files, fresh }) {
  if (files) sessionStorage.setItem(HELD, "1");
  else if (!fresh) sessionStorage.removeItem(HELD);
  const lost = !files && sessionStorage.getItem(HELD) !== null;
  if (lost) window.leukReviews?.clear(); // nothing is left that leaving could lose
  place.textContent = lost
    ? "The page was loaded anew, or Leuk was started again: the files that were open are gone, and what was changed in them. Add them again, and the JSON of their readings if you saved it: what you had changed then comes back."
    : "";
  place.hidden = !lost;
}

// Who decides is known to a visit alone too; decisions after a reload would be stored without a name.
const NAMED = "leuk-reviewer";

function rememberReviewer({ reviewer, fresh }, setTriggerValue) {
  const before = sessionStorage.getItem(NAMED);
  if (reviewer) sessionStorage.setItem(NAMED, reviewer);
  else if (!fresh) sessionStorage.removeItem(NAMED);
  else if (before) setTriggerValue("reviewer", before);
}

export default function ({ data, parentElement, setTriggerValue }) {
  if (data && "files" in data) tellIfLost(parentElement.querySelector(".lost"), data);
  if (data && "reviewer" in data) rememberReviewer(data, setTriggerValue);
  const stop = new AbortController();
  // On a narrow screen the list of pages lies over the page that was chosen in it, until it is closed.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('[data-testid="stSidebarNavLink"]');
    if (link && matchMedia("(max-width: 768px)").matches)
      setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click());
  }, { signal: stop.signal });
  // Streamlit frames the page while it has the focus, for who scrolls it by keys. A letter pressed after a click shows
  // that frame too, where it only gets in the way of looking.
  const move = (byPointer) => document.documentElement.toggleAttribute("data-by-pointer", byPointer);
  document.addEventListener("pointerdown", () => move(true), { signal: stop.signal, capture: true });
  document.addEventListener("keydown", ({ key }) => { if (key === "Tab") move(false); }, { signal: stop.signal, capture: true });
  // What a person changed in readings lives in this visit alone: leaving it asks first.
  window.addEventListener("beforeunload", (event) => {
    if ([...(window.leukReviews?.values() ?? [])].some((review) => review.changes)) event.preventDefault();
  }, { signal: stop.signal });
  return () => stop.abort();
}
