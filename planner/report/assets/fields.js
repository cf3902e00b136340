// Volumes of the report: decoding, planes through them, and contours. All positions are LPS mm (x to the patient's
// left, y to posterior, z to superior); a voxel's value stands at its centre.
"use strict";
const lacuna = {};

lacuna.text = (id) => document.getElementById(id).textContent;

lacuna.bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

lacuna.adler32 = (counts) => {
  let a = 1, b = 0;
  for (let n = 0; n < counts.length; n++) {
    a = (a + (counts[n] & 255)) % 65521; b = (b + a) % 65521;
    a = (a + (counts[n] >> 8)) % 65521; b = (b + a) % 65521;
  }
  return (b * 65536 + a) >>> 0;
};

// Return the counts of a packed volume, x fastest, then y, then z; a volume with a base tells what it differs by from it.
lacuna.unpack = async (packed) => {
  const counts = await lacuna.decode(packed, packed.blob);
  if (packed.checksum !== null && lacuna.adler32(counts) !== packed.checksum) {
    throw new Error("This browser alters the pixels of pictures (a protection against tracking), so doses and contours cannot be shown. Allow it for this file, or use another browser.");
  }
  if (!packed.base) return counts;
  const base = await lacuna.decode(packed, packed.base);
  return counts.map((count, n) => base[n] + count - lacuna.ZERO_CHANGE);
};

lacuna.ZERO_CHANGE = 32768;

lacuna.decode = async (packed, name) => {
  const blob = new Blob([lacuna.bytes(lacuna.text("blob-" + name))], { type: "image/webp" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const [nx, ny, nz] = packed.shape;
  const counts = new Uint16Array(nx * ny * nz);
  const exact = packed.checksum !== null;
  for (let k = 0, n = 0; k < nz; k++) {
    const left = (k % packed.columns) * nx, top = Math.floor(k / packed.columns) * ny;
    for (let j = 0; j < ny; j++) {
      let from = 4 * ((top + j) * bitmap.width + left);
      for (let i = 0; i < nx; i++, n++, from += 4) {
        counts[n] = exact ? 256 * pixels[from] + pixels[from + 1] : pixels[from];
      }
    }
  }
  return counts;
};

// The two axes that a plane shows, and which way they run on the screen: radiological convention.
lacuna.AXES = {
  axial: { normal: 2, across: 0, down: 1, up: false, letters: ["R", "L", "A", "P"] },
  coronal: { normal: 1, across: 0, down: 2, up: true, letters: ["R", "L", "S", "I"] },
  sagittal: { normal: 0, across: 1, down: 2, up: true, letters: ["A", "P", "S", "I"] },
};

// Return the plane {values, nu, nv, u0, v0, du, dv} of a field at a position along its normal: linear between voxel
// centres, constant from the outermost centres to the faces, null beyond them.
lacuna.plane = (field, name, position) => {
  const { normal, across, down } = lacuna.AXES[name];
  const stride = [1, field.shape[0], field.shape[0] * field.shape[1]];
  const at = (position - field.origin[normal]) / field.spacing[normal];
  const last = field.shape[normal] - 1;
  if (at < -0.5 || at > last + 0.5) return null;
  const low = Math.min(Math.max(Math.floor(at), 0), last), high = Math.min(low + 1, last);
  const weight = Math.min(Math.max(at - low, 0), 1);
  const nu = field.shape[across], nv = field.shape[down];
  const values = new Float32Array(nu * nv);
  for (let v = 0, n = 0; v < nv; v++) {
    for (let u = 0; u < nu; u++, n++) {
      const foot = u * stride[across] + v * stride[down];
      const a = field.counts[foot + low * stride[normal]], b = field.counts[foot + high * stride[normal]];
      values[n] = (a + weight * (b - a)) * field.step;
    }
  }
  return { values, nu, nv, u0: field.origin[across], v0: field.origin[down], du: field.spacing[across], dv: field.spacing[down] };
};

// Return the bilinear value of a plane at a point; 0 beyond its outermost faces.
lacuna.valueAt = (plane, u, v) => {
  if (!plane) return 0;
  const x = (u - plane.u0) / plane.du, y = (v - plane.v0) / plane.dv;
  if (x < -0.5 || y < -0.5 || x > plane.nu - 0.5 || y > plane.nv - 0.5) return 0;
  const i = Math.min(Math.max(Math.floor(x), 0), plane.nu - 1), j = Math.min(Math.max(Math.floor(y), 0), plane.nv - 1);
  const i1 = Math.min(i + 1, plane.nu - 1), j1 = Math.min(j + 1, plane.nv - 1);
  const fx = Math.min(Math.max(x - i, 0), 1), fy = Math.min(Math.max(y - j, 0), 1);
  const { values: w, nu } = plane;
  const top = w[j * nu + i] * (1 - fx) + w[j * nu + i1] * fx;
  const bottom = w[j1 * nu + i] * (1 - fx) + w[j1 * nu + i1] * fx;
  return top * (1 - fy) + bottom * fy;
};

// Return the closed lines [[u, v], ...] in mm where a plane crosses a level: marching squares, linear between voxel
// centres. Beyond the plane the value is 0, so that a region cut by the border closes along it.
lacuna.contours = (plane, level) => {
  if (!plane) return [];
  const W = plane.nu + 2, H = plane.nv + 2;
  const value = (i, j) => (i < 1 || j < 1 || i > plane.nu || j > plane.nv ? 0 : plane.values[(j - 1) * plane.nu + i - 1]);
  const next = new Int32Array(2 * W * H).fill(-1);
  for (let j = 0; j < H - 1; j++) {
    for (let i = 0; i < W - 1; i++) {
      const c = [value(i, j), value(i + 1, j), value(i + 1, j + 1), value(i, j + 1)];
      const inside = c.map((w) => w >= level);
      if (inside[0] === inside[1] && inside[1] === inside[2] && inside[2] === inside[3]) continue;
      // Edges in the order of the corners they start from; even numbers run along u, odd ones along v.
      const edges = [2 * (j * W + i), 2 * (j * W + i + 1) + 1, 2 * ((j + 1) * W + i), 2 * (j * W + i) + 1];
      const turn = (c[0] + c[1] + c[2] + c[3]) / 4 >= level ? 1 : 3; // a saddle is joined where its centre is inside
      for (let e = 0; e < 4; e++) {
        if (!inside[e] || inside[(e + 1) % 4]) continue;
        let to = (e + turn) % 4;
        while (inside[to] || !inside[(to + 1) % 4]) to = (to + turn) % 4;
        next[edges[e]] = edges[to];
      }
    }
  }
  const point = (edge) => {
    const i = (edge >> 1) % W, j = Math.floor((edge >> 1) / W), along = edge & 1;
    const a = value(i, j), b = along ? value(i, j + 1) : value(i + 1, j);
    const t = (level - a) / (b - a);
    return [plane.u0 + (i - 1 + (along ? 0 : t)) * plane.du, plane.v0 + (j - 1 + (along ? t : 0)) * plane.dv];
  };
  const lines = [];
  for (let start = 0; start < next.length; start++) {
    if (next[start] < 0) continue;
    const line = [];
    for (let edge = start; next[edge] >= 0;) {
      line.push(point(edge));
      const following = next[edge];
      next[edge] = -1;
      edge = following;
    }
    lines.push(line);
  }
  return lines;
};
