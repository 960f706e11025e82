// Plays the scene in #scene-data. Lengths there are centimetres from an origin, x east, y north; paths
// are a first point and then steps; angles and probabilities are thousandths.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const scene = JSON.parse($("scene-data").textContent);
  const frames = scene.frames;
  const canvas = $("view");
  const pen = canvas.getContext("2d");
  const inRoom = (path) => {
    // [x, y, dx, dy, ...] to a list of points in metres
    const points = [];
    for (let i = 0, x = 0, y = 0; i < path.length; i += 2) points.push([(x += path[i]) / 100, (y += path[i + 1]) / 100]);
    return points;
  };
  for (const frame of frames) {
    for (const name of ["trail", "constant_velocity", "future"]) if (frame[name]) frame[name] = frame[name].map(inRoom);
    for (const agent of frame.forecast ? frame.forecast.agents : []) {
      if (agent) for (const name of ["joint", "marginal"]) agent[name] = agent[name].map(inRoom);
    }
    frame.rowOf = new Map(frame.agent.map((number, row) => [number, row]));
  }
  const map = {};
  for (const [name, lines] of Object.entries(scene.map)) map[name] = name === "sidewalk_closed" ? lines : lines.map(inRoom);

  const duration = frames[frames.length - 1].t - frames[0].t;
  const state = { time: 0, playing: false, speed: 1, mode: null, agent: null, zoom: 1, pan: [0, 0] };
  let colour = {};
  let pixels = { width: 1, height: 1, scale: 1 };

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    colour = {};
    for (const name of ["ground", "sidewalk", "road", "edge", "center", "stripe", "obstacle", "pedestrian", "cyclist",
      "vehicle", "ego", "truth", "cv", "card", "ink", "accent"]) colour[name] = style.getPropertyValue("--" + name).trim();
  }

  // Metres to pixels of the page; north is up.
  const middle = [(scene.view[0] + scene.view[2]) / 200, (scene.view[1] + scene.view[3]) / 200];
  function fit() {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    const base = Math.min(box.width / (scene.view[2] - scene.view[0]), box.height / (scene.view[3] - scene.view[1])) * 100;
    pixels = { width: box.width, height: box.height, ratio, scale: base * state.zoom };
    let metres = 50;
    for (const length of [50, 20, 10, 5, 2, 1]) if (length * pixels.scale < box.width / 4) { metres = length; break; }
    $("scale-bar").style.width = metres * pixels.scale + "px";
    $("scale-text").textContent = metres + " m";
  }
  const toPage = ([x, y]) => [
    pixels.width / 2 + (x - middle[0] - state.pan[0]) * pixels.scale,
    pixels.height / 2 - (y - middle[1] - state.pan[1]) * pixels.scale,
  ];

  function trace(points, close) {
    pen.beginPath();
    points.forEach((point, i) => pen[i ? "lineTo" : "moveTo"](...toPage(point)));
    if (close) pen.closePath();
  }
  function stroke(points, paint, width, { alpha = 1, dash = [], cap = "round" } = {}) {
    if (points.length < 2) return;
    pen.globalAlpha = alpha;
    pen.strokeStyle = paint;
    pen.lineWidth = width;
    pen.lineCap = cap;
    pen.lineJoin = "round";
    pen.setLineDash(dash);
    trace(points, false);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }
  function fill(points, paint, alpha = 1) {
    pen.globalAlpha = alpha;
    pen.fillStyle = paint;
    trace(points, true);
    pen.fill();
    pen.globalAlpha = 1;
  }

  function drawMap() {
    const metre = pixels.scale;
    pen.fillStyle = colour.ground;
    pen.fillRect(0, 0, pixels.width, pixels.height);
    map.sidewalk.forEach((line, i) => map.sidewalk_closed[i] ? fill(line, colour.sidewalk) : stroke(line, colour.sidewalk, (scene.sidewalk_width / 100) * metre, { cap: "butt" }));
    for (const line of map.lane_center) stroke(line, colour.road, (scene.lane_width / 100) * metre + 1, { cap: "butt" });
    for (const line of map.lane_center) stroke(line, colour.center, 1, { dash: [6, 8] });
    for (const line of map.lane_boundary) stroke(line, colour.edge, Math.max(1, 0.12 * metre));
    for (const line of map.stripes) fill(line, colour.stripe);
    for (const line of map.stop_line) stroke(line, colour.stripe, Math.max(2, 0.3 * metre), { cap: "butt" });
    for (const line of map.obstacle) {
      if (line.length > 2) fill(line, colour.obstacle);
      stroke(line, colour.obstacle, Math.max(1.5, 0.2 * metre));
    }
  }

  const paintOf = (agent) => agent.ego ? colour.ego : colour[agent.kind];
  function currentFrame() {
    const t = frames[0].t + state.time + 1e-6;
    let low = 0, high = frames.length - 1;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (frames[half].t <= t) low = half; else high = half - 1;
    }
    return low;
  }

  // Where an agent is between two frames: on the straight line from one to the other.
  function poseNow(index, row) {
    const frame = frames[index], next = frames[index + 1];
    const [x, y] = frame.xy[row];
    const other = next && next.rowOf.get(frame.agent[row]);
    if (other === undefined) return [x / 100, y / 100, frame.yaw[row] / 1000];
    const w = Math.min(1, Math.max(0, (frames[0].t + state.time - frame.t) / (next.t - frame.t)));
    const turn = (((next.yaw[other] - frame.yaw[row]) / 1000 + 3 * Math.PI) % (2 * Math.PI)) - Math.PI;
    return [(x + w * (next.xy[other][0] - x)) / 100, (y + w * (next.xy[other][1] - y)) / 100, frame.yaw[row] / 1000 + w * turn];
  }

  const strength = (p, best) => 0.12 + (0.78 * p) / Math.max(best, 1);
  function drawForecast(index, row, pose, agent) {
    const frame = frames[index];
    const start = [pose[0], pose[1]];
    const faded = state.agent !== null && frame.agent[row] !== state.agent ? 0.3 : 1;
    const width = agent.kind === "vehicle" ? 3 : 2.5;
    if ($("show-cv").checked && frame.constant_velocity) {
      stroke([start, ...frame.constant_velocity[row]], colour.cv, 1.4, { alpha: 0.9 * faded });
    }
    const forecast = frame.forecast && frame.forecast.agents[row];
    if (forecast && $("show-marginal").checked) {
      const best = Math.max(...forecast.chance);
      forecast.marginal.forEach((path, i) =>
        stroke([start, ...path], paintOf(agent), 1.6, { alpha: strength(forecast.chance[i], best) * faded, dash: [1, 4] }));
    }
    if (forecast && $("show-joint").checked) {
      const chance = frame.forecast.probability, best = Math.max(...chance);
      const likely = state.mode === null ? chance.indexOf(best) : state.mode;
      forecast.joint.forEach((path, mode) => {
        if (state.mode !== null && mode !== state.mode) return;
        const alpha = (state.mode === null ? strength(chance[mode], best) : 0.9) * faded;
        stroke([start, ...path], paintOf(agent), width, { alpha });
      });
      const end = forecast.joint[likely][forecast.joint[likely].length - 1];
      if (likely === chance.indexOf(best)) drawRing(end, forecast.ring, paintOf(agent), faded);
    }
    if ($("show-future").checked && frame.future) {
      stroke([start, ...frame.future[row]], colour.truth, 1.5, { alpha: 0.85 * faded, dash: [5, 5], cap: "butt" });
    }
  }
  function drawRing(centre, [major, minor, angle], paint, faded) {
    const [x, y] = toPage(centre);
    pen.beginPath();
    pen.ellipse(x, y, (major / 100) * pixels.scale, (minor / 100) * pixels.scale, -angle / 1000, 0, 2 * Math.PI);
    pen.fillStyle = pen.strokeStyle = paint;
    pen.globalAlpha = 0.06 * faded;
    pen.fill();
    pen.globalAlpha = 0.25 * faded;
    pen.lineWidth = 1;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  function drawAgent(pose, agent, selected) {
    const [x, y] = toPage(pose);
    const metre = pixels.scale;
    const long = Math.max((agent.size[0] / 100) * metre, 7), wide = Math.max((agent.size[1] / 100) * metre, 5);
    pen.save();
    pen.translate(x, y);
    pen.rotate(-pose[2]);
    pen.fillStyle = paintOf(agent);
    pen.strokeStyle = colour.card;
    pen.lineWidth = 1.2;
    pen.beginPath();
    if (agent.kind === "pedestrian") pen.arc(0, 0, Math.max(long / 2, 4.5), 0, 2 * Math.PI);
    else pen.roundRect(-long / 2, -wide / 2, long, wide, Math.min(wide / 3, 4));
    pen.fill();
    pen.stroke();
    if (agent.kind !== "pedestrian") {
      // A wedge shows which end is the front.
      pen.fillStyle = colour.card;
      pen.globalAlpha = agent.ego ? 0.95 : 0.6;
      pen.beginPath();
      pen.moveTo(long * 0.38, 0);
      pen.lineTo(long * 0.14, wide * 0.28);
      pen.lineTo(long * 0.14, -wide * 0.28);
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.restore();
    if (selected || agent.ego) {
      pen.beginPath();
      pen.arc(x, y, Math.max(long, wide) / 2 + 6, 0, 2 * Math.PI);
      pen.strokeStyle = selected ? colour.accent : colour.ego;
      pen.lineWidth = selected ? 2.5 : 1.2;
      pen.globalAlpha = selected ? 1 : 0.45;
      pen.stroke();
      pen.globalAlpha = 1;
    }
  }

  function draw() {
    const index = currentFrame(), frame = frames[index];
    pen.setTransform(pixels.ratio, 0, 0, pixels.ratio, 0, 0);
    drawMap();
    const poses = frame.agent.map((_, row) => poseNow(index, row));
    const agents = frame.agent.map((number) => scene.agents[number]);
    frame.agent.forEach((_, row) => stroke([[poses[row][0], poses[row][1]], ...frame.trail[row]], paintOf(agents[row]), 1.5, { alpha: 0.35 }));
    frame.agent.forEach((_, row) => drawForecast(index, row, poses[row], agents[row]));
    frame.agent.forEach((number, row) => drawAgent(poses[row], agents[row], number === state.agent));
    $("clock").textContent = (frames[0].t + state.time).toFixed(1) + " s";
    $("scrub").value = index;
    $("scrub").setAttribute("aria-valuetext", $("clock").textContent);
    showModes(frame.forecast);
    showFacts(frame);
  }

  const percent = (thousandths) => (thousandths / 10).toFixed(thousandths < 100 ? 1 : 0) + " %";
  function showModes(forecast) {
    const box = $("modes");
    const count = forecast ? forecast.probability.length : 0;
    if (box.childElementCount !== count) {
      box.replaceChildren(...Array.from({ length: count }, (_, mode) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(document.createElement("i"), document.createElement("span"), document.createElement("span"));
        button.children[1].textContent = "Future " + (mode + 1);
        button.onclick = () => { state.mode = state.mode === mode ? null : mode; draw(); };
        return button;
      }));
    }
    for (let mode = 0; mode < count; mode++) {
      const [bar, , text] = box.children[mode].children;
      bar.style.width = forecast.probability[mode] / 10 + "%";
      text.textContent = percent(forecast.probability[mode]);
      box.children[mode].setAttribute("aria-pressed", String(state.mode === mode));
    }
  }
  function showFacts(frame) {
    const row = state.agent === null ? undefined : frame.rowOf.get(state.agent);
    const facts = [];
    if (state.agent !== null) {
      const agent = scene.agents[state.agent];
      facts.push(["Kind", agent.kind + (agent.ego ? ", ego" : "")]);
      if (row === undefined) facts.push(["Seen", "not now"]);
      else {
        facts.push(["Speed", (frame.speed[row] / 100).toFixed(1) + " m/s"]);
        if (frame.note && frame.note[row]) facts.push(["State", frame.note[row]]);
        const forecast = frame.forecast && frame.forecast.agents[row];
        if (forecast) {
          if (forecast.roadway !== undefined && agent.kind === "pedestrian") {
            facts.push(["In the roadway within " + frame.forecast.horizon.toFixed(1) + " s", percent(forecast.roadway)]);
          }
          facts.push(["Forecast by", forecast.source === "model" ? "the model" : "kinematics"]);
          facts.push(["Likeliest alone", forecast.chance.slice(0, 3).map(percent).join(" · ")]);
          facts.push(["90 % ellipse", (forecast.ring[0] / 100).toFixed(1) + " × " + (forecast.ring[1] / 100).toFixed(1) + " m"]);
        }
      }
    }
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => {
      const term = document.createElement("dt"), said = document.createElement("dd");
      term.textContent = name;
      said.textContent = value;
      return [term, said];
    }));
  }

  // Playing
  let last = null;
  function tick(now) {
    if (!state.playing) return;
    if (last !== null) state.time += Math.min((now - last) / 1000, 0.1) * state.speed;
    if (state.time > duration) state.time = 0;
    last = now;
    draw();
    requestAnimationFrame(tick);
  }
  function play(on) {
    if (on === state.playing) return;
    state.playing = on;
    last = null;
    $("play").textContent = on ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) requestAnimationFrame(tick); else draw();
  }
  function goTo(index) {
    play(false);
    state.time = frames[Math.min(Math.max(index, 0), frames.length - 1)].t - frames[0].t;
    draw();
  }
  function zoomBy(factor, at) {
    const before = at || [pixels.width / 2, pixels.height / 2];
    const old = pixels.scale;
    state.zoom = Math.min(Math.max(state.zoom * factor, 0.3), 12);
    fit();
    // The point under the pointer stays where it is.
    state.pan[0] += (before[0] - pixels.width / 2) * (1 / old - 1 / pixels.scale);
    state.pan[1] -= (before[1] - pixels.height / 2) * (1 / old - 1 / pixels.scale);
    draw();
  }
  function select(number) {
    state.agent = number;
    $("agent").value = number === null ? "" : number;
    draw();
  }

  $("play").onclick = () => play(!state.playing);
  $("scrub").max = frames.length - 1;
  $("scrub").oninput = () => goTo(Number($("scrub").value));
  $("speed").onchange = () => { state.speed = Number($("speed").value); };
  for (const id of ["show-joint", "show-marginal", "show-future", "show-cv"]) $(id).onchange = draw;
  $("zoom-in").onclick = () => zoomBy(1.4);
  $("zoom-out").onclick = () => zoomBy(1 / 1.4);
  $("zoom-fit").onclick = () => { state.zoom = 1; state.pan = [0, 0]; fit(); draw(); };
  scene.agents.forEach((agent, number) => {
    const option = document.createElement("option");
    option.value = number;
    option.textContent = agent.id + " (" + (agent.ego ? "ego" : agent.kind) + ")";
    $("agent").append(option);
  });
  $("agent").onchange = () => select($("agent").value === "" ? null : Number($("agent").value));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=range]")) return;
    if (event.key === " " && event.target.closest("button, input")) return; // it presses the button
    const act = {
      " ": () => play(!state.playing), ArrowRight: () => goTo(currentFrame() + 1), ArrowLeft: () => goTo(currentFrame() - 1),
      Home: () => goTo(0), End: () => goTo(frames.length - 1), "+": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4),
      Escape: () => { state.mode = null; select(null); },
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls on over the picture
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 400), [event.offsetX, event.offsetY]);
  }, { passive: false });
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, pan: [...state.pan], moved: false };
    if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    drag.moved ||= Math.hypot(dx, dy) > 4;
    if (!drag.moved) return;
    state.pan = [drag.pan[0] - dx / pixels.scale, drag.pan[1] + dy / pixels.scale];
    draw();
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) {
      const box = canvas.getBoundingClientRect();
      const index = currentFrame();
      let near = null, least = Infinity;
      frames[index].agent.forEach((number, row) => {
        const [x, y] = toPage(poseNow(index, row));
        const reach = Math.max(14, ((scene.agents[number].size[0] / 100) * pixels.scale) / 2);
        const distance = Math.hypot(event.clientX - box.left - x, event.clientY - box.top - y);
        if (distance < reach && distance < least) [near, least] = [number, distance];
      });
      select(near);
    }
    drag = null;
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  new ResizeObserver(() => { fit(); draw(); }).observe(canvas);
  readColours();
  fit();

  // #t=3.2&agent=p1 opens the page at a moment, with an agent chosen.
  const asked = new URLSearchParams(location.hash.slice(1));
  const wanted = scene.agents.findIndex((agent) => agent.id === asked.get("agent"));
  if (wanted >= 0) select(wanted);
  if (asked.has("t")) {
    state.time = Math.min(Math.max(Number(asked.get("t")) - frames[0].t || 0, 0), duration);
    draw();
  } else {
    draw();
    play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  }
})();
