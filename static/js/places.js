// Where one stopped in something long, in this browser only.
const setting = 'places'
const long = 300
const most = 100

function all() {
  try { return JSON.parse(localStorage.getItem(setting)) ?? {} } catch { return {} }
}

// Seconds, 0 where there is nothing to go on with.
export const place = (id) => all()[id] ?? 0

// The end counts as heard.
export function keepPlace(id, seconds, length) {
  if (length <= long) return
  const { [id]: _, ...others } = all()
  if (seconds > 5 && seconds < length - 15) others[id] = Math.floor(seconds)
  try { localStorage.setItem(setting, JSON.stringify(Object.fromEntries(Object.entries(others).slice(-most)))) } catch { /* No room: it begins anew. */ }
}
