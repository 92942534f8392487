// The kernel renders the monitor, so that the widget, a reopened notebook and an exported page look alike. This side
// shows it, and tells the kernel now and then that somebody is looking.
const LOOKING_EVERY_MS = 30_000;

function render({ model, el }) {
  const show = () => {
    el.innerHTML = model.get("html");
  };
  const looking = () => model.send({ kind: "looking" });
  model.on("change:html", show);
  show();
  looking();
  const timer = setInterval(looking, LOOKING_EVERY_MS);
  return () => {
    clearInterval(timer);
    model.off("change:html", show);
    model.send({ kind: "gone" });
  };
}

export default { render };
