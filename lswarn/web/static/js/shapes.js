// A little geometry, in degrees.

const rings = (geometry) => (geometry.type === "Polygon" ? [geometry.coordinates] : geometry.type === "MultiPolygon" ? geometry.coordinates : []);

/** [west, south, east, north] of any geometry. */
export function boxOf(geometry) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const walk = (part) => {
    if (typeof part[0] !== "number") return part.forEach(walk);
    box[0] = Math.min(box[0], part[0]);
    box[1] = Math.min(box[1], part[1]);
    box[2] = Math.max(box[2], part[0]);
    box[3] = Math.max(box[3], part[1]);
  };
  walk(geometry.coordinates);
  return box;
}

function inside([x, y], polygon) {
  let within = false;
  for (const ring of polygon) {
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [xi, yi] = ring[i];
      const [xj, yj] = ring[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
    }
  }
  return within;
}

function clearance([x, y], polygon) {
  let least = Infinity;
  for (const ring of polygon) {
    for (let i = 1; i < ring.length; i++) {
      const [[x1, y1], [x2, y2]] = [ring[i - 1], ring[i]];
      const [dx, dy] = [x2 - x1, y2 - y1];
      const share = Math.min(Math.max(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1), 0), 1);
      least = Math.min(least, Math.hypot(x - x1 - share * dx, y - y1 - share * dy));
    }
  }
  return least;
}

/** A point well inside the largest part of a polygon: the best of a grid of 16 by 16. */
export function labelPoint(geometry) {
  const size = (polygon) => {
    const [w, s, e, n] = boxOf({ coordinates: polygon });
    return (e - w) * (n - s);
  };
  const polygon = rings(geometry).reduce((best, each) => (!best || size(each) > size(best) ? each : best), null);
  if (!polygon) return boxOf(geometry).slice(0, 2);
  const [w, s, e, n] = boxOf({ coordinates: polygon });
  let best = [(w + e) / 2, (s + n) / 2];
  let most = -1;
  for (let i = 1; i < 16; i++) {
    for (let j = 1; j < 16; j++) {
      const point = [w + ((e - w) * i) / 16, s + ((n - s) * j) / 16];
      if (!inside(point, polygon)) continue;
      const room = clearance(point, polygon);
      if (room > most) [best, most] = [point, room];
    }
  }
  return best;
}
