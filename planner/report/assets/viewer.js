// The slice viewer: panes of one case in three planes, or of one plane in every arm, linked by one point in the patient.
"use strict";
lacuna.viewer = (root, data) => {
  const find = (selector) => root.querySelector(selector);
  const state = { patient: data.cases[0].patient, arm: data.cases[0].arm, layout: "planes", plane: "axial", phase: "delivered",
    image: "image", wash: true, opacity: 0.4, lines: true, cross: true, zoom: 1, point: [0, 0, 0], hidden: new Set() };
  const loaded = new Map(), offered = new Set();
  let panes = [];

  const field = (packed) => {
    if (!packed) return Promise.resolve(null);
    const key = packed.blob + (packed.base || "");
    if (!loaded.has(key)) loaded.set(key, lacuna.unpack(packed));
    return loaded.get(key).then((counts) => ({ ...packed, counts }));
  };

  const caseOf = (patient, arm) => data.cases.find((c) => c.patient === patient && c.arm === arm);

  const load = async (entry) => {
    const [image, belief_image, delivered, planned] = await Promise.all(
      [entry.image, entry.belief_image, entry.delivered, entry.planned].map(field));
    const structures = await Promise.all(entry.structures.map(async (s) => ({ ...s, field: await field(s.volume) })));
    return { entry, image, belief_image, delivered, planned, structures };
  };

  // --- one pane ---------------------------------------------------------------------------------------------------

  const makePane = (name, arm, title) => {
    const box = document.createElement("figure");
    box.className = "pane";
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    const caption = document.createElement("figcaption");
    const slider = document.createElement("input");
    slider.type = "range";
    slider.setAttribute("aria-label", `${title}: position of the ${name} slice in mm`);
    const readout = document.createElement("output");
    caption.append(Object.assign(document.createElement("strong"), { textContent: title }), readout);
    box.append(canvas, slider, caption);
    const pane = { name, arm, title, box, canvas, slider, readout, case: null, view: null };
    slider.addEventListener("input", () => moveTo(pane, Number(slider.value)));
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); scroll(pane, Math.sign(event.deltaY)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }[event.key];
      if (steps) { event.preventDefault(); scroll(pane, steps); }
    });
    const pick = (event) => { const p = pointAt(pane, event); if (p) { state.point = p; drawAll(); tell(pane, p); } };
    canvas.addEventListener("pointerdown", (event) => { canvas.focus({ preventScroll: true }); canvas.setPointerCapture(event.pointerId); pick(event); });
    canvas.addEventListener("pointermove", (event) => (event.buttons & 1 ? pick(event) : tell(pane, pointAt(pane, event))));
    canvas.addEventListener("pointerleave", () => tell(pane, null));
    return pane;
  };

  const scroll = (pane, steps) => {
    const { normal } = lacuna.AXES[pane.name];
    moveTo(pane, state.point[normal] + steps * pane.case.image.spacing[normal]);
  };

  const moveTo = (pane, position) => {
    const { normal } = lacuna.AXES[pane.name], image = pane.case.image;
    const last = image.origin[normal] + (image.shape[normal] - 1) * image.spacing[normal];
    state.point[normal] = Math.min(Math.max(position, image.origin[normal]), last);
    drawAll();
  };

  const pointAt = (pane, event) => {
    if (!pane.view) return null;
    const { normal, across, down } = lacuna.AXES[pane.name], frame = pane.canvas.getBoundingClientRect();
    const point = [0, 0, 0];
    point[normal] = state.point[normal];
    point[across] = pane.view.u(event.clientX - frame.left);
    point[down] = pane.view.v(event.clientY - frame.top);
    return point;
  };

  const words = (point) => point.map((w, n) => `${["RL", "AP", "IS"][n][w >= 0 ? 1 : 0]} ${Math.abs(w).toFixed(1)}`).join("  ");

  const doseAt = (pane, which, point) => {
    const { normal, across, down } = lacuna.AXES[pane.name], field = pane.case[which];
    return field ? lacuna.valueAt(lacuna.plane(field, pane.name, point[normal]), point[across], point[down]) : NaN;
  };

  const tell = (pane, hovered) => {
    if (!pane.case) return;
    const point = hovered || state.point, rx = pane.case.entry.rx;
    const gy = (which) => { const d = doseAt(pane, which, point); return `${d.toFixed(2)} Gy` + (rx ? ` (${Math.round((100 * d) / rx)} %)` : ""); };
    pane.readout.textContent = `${words(point)} mm · delivered ${gy("delivered")} · planned ${gy("planned")}`;
  };

  // --- drawing ----------------------------------------------------------------------------------------------------

  const fit = (pane) => {
    const { across, down, up, normal } = lacuna.AXES[pane.name], image = pane.case.image;
    const ratio = window.devicePixelRatio || 1, width = pane.canvas.clientWidth, height = pane.canvas.clientHeight;
    if (pane.canvas.width !== Math.round(width * ratio)) pane.canvas.width = Math.round(width * ratio);
    if (pane.canvas.height !== Math.round(height * ratio)) pane.canvas.height = Math.round(height * ratio);
    const size = [across, down].map((a) => image.shape[a] * image.spacing[a]);
    const scale = Math.min(width / size[0], height / size[1]) * state.zoom;
    const middle = [across, down].map((a, n) => {
      const whole = image.origin[a] + ((image.shape[a] - 1) / 2) * image.spacing[a];
      return state.zoom > 1 ? state.centre[a] : whole;
    });
    const sign = up ? -1 : 1;
    return { ratio, scale, width, height, sign, normal,
      x: (u) => width / 2 + (u - middle[0]) * scale, y: (v) => height / 2 + sign * (v - middle[1]) * scale,
      u: (x) => middle[0] + (x - width / 2) / scale, v: (y) => middle[1] + (sign * (y - height / 2)) / scale };
  };

  // Draw a raster whose pixels are centred on the points of `plane`: its outermost faces lie half a step further out.
  const drawRaster = (context, view, plane, paint) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [plane.nu, plane.nv];
    const inner = canvas.getContext("2d"), pixels = inner.createImageData(plane.nu, plane.nv);
    paint(pixels.data);
    inner.putImageData(pixels, 0, 0);
    context.save();
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.translate(view.x(plane.u0 - plane.du / 2), view.y(plane.v0 - plane.dv / 2));
    context.scale(plane.du * view.scale, view.sign * plane.dv * view.scale);
    context.drawImage(canvas, 0, 0);
    context.restore();
  };

  const paintImage = (plane) => (out) => {
    for (let n = 0, to = 0; n < plane.values.length; n++, to += 4) {
      out[to] = out[to + 1] = out[to + 2] = plane.values[n];
      out[to + 3] = 255;
    }
  };

  // Twice as fine as the image, so that the wash does not show its pixels.
  const finer = (plane) => ({ nu: 2 * plane.nu, nv: 2 * plane.nv, du: plane.du / 2, dv: plane.dv / 2, u0: plane.u0 - plane.du / 4, v0: plane.v0 - plane.dv / 4 });

  const colour = (map, share) => map[Math.min(Math.max(Math.round(share * (map.length - 1)), 0), map.length - 1)];

  const paintWash = (grid, delivered, planned, rx) => (out) => {
    const top = data.wash_top * rx, difference = state.phase === "difference";
    for (let j = 0, to = 0; j < grid.nv; j++) {
      for (let i = 0; i < grid.nu; i++, to += 4) {
        const u = grid.u0 + i * grid.du, v = grid.v0 + j * grid.dv;
        let rgb, alpha;
        if (difference) {
          const change = (lacuna.valueAt(delivered, u, v) - lacuna.valueAt(planned, u, v)) / (data.difference_top * rx);
          rgb = colour(data.difference_map, 0.5 + change / 2);
          alpha = Math.min(1, 2.5 * Math.abs(change));
        } else {
          const share = lacuna.valueAt(state.phase === "planned" ? planned : delivered, u, v) / top;
          rgb = colour(data.wash_map, share);
          alpha = Math.min(1, Math.max(0, (share - data.wash_from) / 0.15));
        }
        out[to] = rgb[0]; out[to + 1] = rgb[1]; out[to + 2] = rgb[2];
        out[to + 3] = 255 * alpha * state.opacity;
      }
    }
  };

  const trace = (context, view, lines) => {
    context.beginPath();
    for (const line of lines) {
      line.forEach(([u, v], n) => (n ? context.lineTo(view.x(u), view.y(v)) : context.moveTo(view.x(u), view.y(v))));
      context.closePath();
    }
  };

  const written = (context, text, x, y, colour) => {
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = "rgba(0,0,0,.75)";
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  };

  // Put the name of an isodose on its longest line, at the first of twelve directions where no other name stands.
  const label = (context, view, lines, text, colour, taken) => {
    const line = lines.reduce((a, b) => (b.length > a.length ? b : a), []);
    if (line.length < 12) return;
    context.font = "600 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const places = line.map(([u, v]) => [view.x(u), view.y(v)]), half = context.measureText(text).width / 2 + 3;
    for (let n = 0; n < 12; n++) {
      const turn = 0.35 + (Math.PI * 2 * ((5 * n) % 12)) / 12, along = [Math.cos(turn), Math.sin(turn)];
      const [x, y] = places.reduce((a, b) => (b[0] * along[0] + b[1] * along[1] > a[0] * along[0] + a[1] * along[1] ? b : a));
      const free = taken.every(([p, q, other]) => Math.abs(x - p) > half + other || Math.abs(y - q) > 14);
      if (!free || x < half || y < 8 || x > view.width - half || y > view.height - 8) continue;
      taken.push([x, y, half]);
      written(context, text, x, y, colour);
      return;
    }
  };

  const drawContours = (context, view, pane, at) => {
    for (const s of pane.case.structures) {
      if (state.hidden.has("structure:" + s.name)) continue;
      const lines = lacuna.contours(lacuna.plane(s.field, pane.name, at), 127.5);
      context.setLineDash(s.dash ? [5, 3.5] : []);
      trace(context, view, lines);
      context.lineWidth = s.width + 1.6; context.strokeStyle = "rgba(0,0,0,.45)"; context.stroke();
      trace(context, view, lines);
      context.lineWidth = s.width; context.strokeStyle = s.colour; context.stroke();
    }
    context.setLineDash([]);
  };

  const drawIsodoses = (context, view, pane, at) => {
    if (state.phase === "difference" || !state.lines) return;
    const plane = pane.case[state.phase] && lacuna.plane(pane.case[state.phase], pane.name, at);
    const found = pane.case.entry.isodoses.filter((i) => !state.hidden.has("isodose:" + i.key))
      .map((i) => ({ ...i, lines: lacuna.contours(plane, i.gy) }));
    for (const i of found) {
      trace(context, view, i.lines);
      context.lineWidth = 1.4; context.strokeStyle = i.colour; context.stroke();
    }
    const taken = [];
    for (const i of found) label(context, view, i.lines, i.short, i.colour, taken);
  };

  const drawFrame = (context, view, pane) => {
    const { across, down, letters } = lacuna.AXES[pane.name], { width, height } = view;
    if (state.cross) {
      const x = view.x(state.point[across]), y = view.y(state.point[down]);
      context.strokeStyle = "rgba(255,255,255,.55)"; context.lineWidth = 1;
      context.beginPath();
      for (const [a, b] of [[0, x - 9], [x + 9, width]]) { context.moveTo(a, y); context.lineTo(b, y); }
      for (const [a, b] of [[0, y - 9], [y + 9, height]]) { context.moveTo(x, a); context.lineTo(x, b); }
      context.stroke();
    }
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center"; context.textBaseline = "middle";
    const places = [[12, height / 2], [width - 12, height / 2], [width / 2, 13], [width / 2, height - 13]];
    places.forEach(([x, y], n) => written(context, letters[n], x, y, "#f4e9b8"));
    const bar = [100, 50, 20, 10, 5].find((mm) => mm * view.scale < width / 4) || 2;
    context.fillStyle = "#fff";
    context.fillRect(12, height - 16, bar * view.scale, 3);
    context.textAlign = "left"; context.font = "11px system-ui, sans-serif";
    written(context, `${bar} mm`, 12, height - 26, "#fff");
  };

  const draw = (pane) => {
    if (!pane.case || !pane.canvas.clientWidth) return;
    const view = (pane.view = fit(pane)), context = pane.canvas.getContext("2d"), at = state.point[view.normal];
    context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, view.width, view.height);
    const plane = lacuna.plane(pane.case[state.image] || pane.case.image, pane.name, at);
    if (plane) drawRaster(context, view, plane, paintImage(plane));
    const rx = pane.case.entry.rx || pane.case.entry.top;
    if (plane && (state.wash || state.phase === "difference")) {
      const doses = ["delivered", "planned"].map((which) => pane.case[which] && lacuna.plane(pane.case[which], pane.name, at));
      const grid = finer(plane);
      drawRaster(context, view, grid, paintWash(grid, ...doses, rx));
    }
    drawContours(context, view, pane, at);
    drawIsodoses(context, view, pane, at);
    drawFrame(context, view, pane);
    const image = pane.case.image, axis = view.normal;
    Object.assign(pane.slider, { min: image.origin[axis], max: image.origin[axis] + (image.shape[axis] - 1) * image.spacing[axis], step: "any" });
    pane.slider.value = at;
    pane.canvas.dataset.position = at.toFixed(3);
    pane.canvas.setAttribute("aria-label", `${pane.title}, ${pane.name} slice at ${at.toFixed(1)} mm. Arrow keys scroll.`);
    tell(pane, null);
  };

  const drawAll = () => panes.forEach(draw);

  // --- what is shown ----------------------------------------------------------------------------------------------

  const toggles = (box, kind, items, mark) => {
    box.replaceChildren(...items.map((item) => {
      const row = document.createElement("label"), check = document.createElement("input"), swatch = document.createElement("i");
      const key = `${kind}:${item.key || item.name}`;
      check.type = "checkbox";
      check.checked = !state.hidden.has(key);
      check.addEventListener("change", () => { state.hidden[check.checked ? "delete" : "add"](key); drawAll(); });
      swatch.className = mark(item);
      swatch.style.setProperty("--swatch", item.colour);
      row.append(check, swatch, item.label);
      return row;
    }));
  };

  const explain = () => {
    const difference = state.phase === "difference", map = difference ? data.difference_map : data.wash_map;
    const rx = panes[0].case.entry.rx || panes[0].case.entry.top, top = difference ? data.difference_top : data.wash_top;
    find(".ramp").style.backgroundImage = `linear-gradient(90deg, ${map.map((c) => `rgb(${c})`).join(",")})`;
    find(".least").textContent = difference ? `−${100 * top} % of prescription` : "0 Gy";
    find(".most").textContent = difference ? `+${100 * top} %` : `${(top * rx).toFixed(1)} Gy (${100 * top} %)`;
  };

  const arrange = () => {
    const arms = data.arms.filter((a) => caseOf(state.patient, a.name));
    if (!arms.some((a) => a.name === state.arm)) state.arm = arms[0].name;
    panes = state.layout === "planes"
      ? ["axial", "coronal", "sagittal"].map((name) => makePane(name, state.arm, name[0].toUpperCase() + name.slice(1)))
      : arms.map((a) => makePane(state.plane, a.name, a.title));
    const stage = find(".stage");
    stage.dataset.layout = state.layout;
    stage.dataset.count = panes.length;
    stage.replaceChildren(...panes.map((p) => p.box));
  };

  // The first look at a patient: the middle of what is treated.
  const aim = (entry) => { state.point = [...entry.focus]; state.centre = [...entry.focus]; };

  let turn = 0;
  const show = async ({ aimed = false } = {}) => {
    const mine = ++turn;
    arrange();
    const cases = await Promise.all(panes.map((p) => load(caseOf(state.patient, p.arm))));
    if (mine !== turn) return; // something else was chosen meanwhile
    panes.forEach((p, n) => { p.case = cases[n]; });
    if (aimed) aim(cases[0].entry);
    state.centre = state.centre || [...state.point];
    const entry = caseOf(state.patient, state.arm), unique = new Map();
    cases.forEach((c) => c.structures.forEach((s) => unique.set(s.name, s)));
    for (const s of unique.values()) {
      if (s.hidden && !offered.has(s.name)) state.hidden.add("structure:" + s.name);
      offered.add(s.name);
    }
    toggles(find(".structures"), "structure", [...unique.values()], (s) => (s.dash ? "dashed" : "solid"));
    toggles(find(".isodoses"), "isodose", entry.isodoses, () => "thin");
    find(".belief").hidden = !cases.every((c) => c.belief_image);
    find(".facts").textContent = entry.facts;
    explain();
    root.dataset.ready = String(mine);
    drawAll();
  };

  const failed = (error) => { const box = document.querySelector(".trouble"); box.hidden = false; box.textContent = error.message; };
  const change = (how) => show(how).catch(failed);
  const choose = (name, then) => find(`[name=${name}]`).addEventListener("change", (event) => then(event.target));
  choose("patient", (e) => { state.patient = e.value; change({ aimed: true }); });
  choose("arm", (e) => { state.arm = e.value; change(); });
  choose("layout", (e) => { state.layout = e.value === "planes" ? "planes" : "arms"; if (e.value !== "planes") state.plane = e.value; change(); });
  choose("phase", (e) => { state.phase = e.value; root.dataset.phase = e.value; explain(); drawAll(); });
  choose("image", (e) => { state.image = e.value; drawAll(); });
  choose("wash", (e) => { state.wash = e.checked; drawAll(); });
  choose("lines", (e) => { state.lines = e.checked; drawAll(); });
  choose("cross", (e) => { state.cross = e.checked; drawAll(); });
  find("[name=opacity]").addEventListener("input", (e) => { state.opacity = Number(e.target.value); drawAll(); });
  find("[name=zoom]").addEventListener("input", (e) => { state.zoom = Number(e.target.value); state.centre = [...state.point]; drawAll(); });
  window.addEventListener("resize", drawAll);
  window.addEventListener("beforeprint", drawAll);
  return change({ aimed: true }).then(() => ({ state, drawAll, panes: () => panes }));
};
