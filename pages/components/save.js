export default (component) => keep(component, Save);

const MARK = "\ufeff"; // without it, Excel reads a CSV as if it were in the machine's old code page

// Files are put together here in the browser: what a server offers under an address is open to whoever learns it.
class Save {
  constructor(root) {
    this.root = root;
    root.addEventListener("click", (event) => {
      const at = event.target.closest("button")?.dataset.file;
      if (at === undefined) return;
      const { name, type, text } = this.files[at];
      const url = URL.createObjectURL(new Blob([type === "text/csv" ? MARK : "", text], { type }));
      const link = element("a", { href: url, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
  }

  show({ files }) {
    this.files = files;
    this.root.replaceChildren(...files.map((file, i) => element("button", { type: "button", "data-file": i, disabled: file.disabled }, file.label)));
  }
}
