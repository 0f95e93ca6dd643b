// What holds on every page.

export default function () {
  const stop = new AbortController();
  // On a narrow screen the list of pages lies over the page that was chosen in it, until it is closed.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('[data-testid="stSidebarNavLink"]');
    if (link && matchMedia("(max-width: 768px)").matches)
      setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click());
  }, { signal: stop.signal });
  // What a person changed in readings lives in this visit alone: leaving it asks first.
  window.addEventListener("beforeunload", (event) => {
    if ([...(window.leukReviews?.values() ?? [])].some((review) => review.changes)) event.preventDefault();
  }, { signal: stop.signal });
  return () => stop.abort();
}
