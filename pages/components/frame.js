// On a narrow screen the list of pages lies over the page that was chosen in it, until it is closed.

export default function () {
  const stop = new AbortController();
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('[data-testid="stSidebarNavLink"]');
    if (link && matchMedia("(max-width: 768px)").matches)
      setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click());
  }, { signal: stop.signal });
  return () => stop.abort();
}
