// A figure opens at full size over the page. Without this script its link opens the picture itself.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("figure.enlarge a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const inPage = link.querySelector("img");
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", "Figure at full size");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const scroller = document.createElement("div");
  scroller.tabIndex = 0;
  const picture = document.createElement("img");
  picture.src = link.href;
  picture.alt = inPage.alt;
  picture.className = "dark-light";
  scroller.append(picture);
  dialog.append(close, scroller);
  dialog.addEventListener("click", (inside) => {
    if (inside.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    link.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
});

// Anything that scrolls sideways can be reached and moved with the keyboard.
const reachable = () => {
  for (const part of document.querySelectorAll(".bd-article pre, .bd-article .scrolls")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
};
window.addEventListener("load", reachable);
window.addEventListener("resize", reachable);
