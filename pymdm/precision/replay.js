(() => {
  const data = JSON.parse(document.getElementById("replay-data").textContent);
  const slider = document.getElementById("replay-time"), button = document.getElementById("replay-play");
  const label = document.getElementById("replay-label");
  const panels = data.panels.map((panel) => {
    const box = document.querySelector(`[data-panel="${panel.name}"]`);
    const spans = panel.tokens.map(() => box.querySelector(".text").appendChild(document.createElement("span")));
    return { ...panel, spans, count: box.querySelector(".count") };
  });
  const shown = (piece) => piece.replace(/\n/g, "⏎\n");
  function draw() {
    const t = 1 - slider.value / slider.max;
    label.textContent = "t = " + t.toFixed(2);
    for (const panel of panels) {
      let masked = 0;
      panel.spans.forEach((span, i) => {
        const hidden = panel.times[i] < t - 1e-9;
        masked += hidden;
        span.textContent = hidden ? "░░" : shown(data.pieces[panel.tokens[i]]);
        span.className = hidden ? "mask" : panel.times[i] < t + 0.03 ? "new" : "";
      });
      panel.count.textContent = masked + " of " + panel.tokens.length + " masked";
    }
  }
  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    button.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      draw();
      if (slider.value === slider.max) stop();
    }, 60);
  });
  slider.addEventListener("input", draw);
  draw();
})();
