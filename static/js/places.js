// Where one stopped in something long, in this browser only: `place(id)` is in seconds, 0 where there is nothing to go on with.
export function createPlaces(setting, long, most) {
  function all() {
    try { return JSON.parse(localStorage.getItem(setting)) ?? {} } catch { return {} }
  }

  return {
    place: (id) => all()[id] ?? 0,
    // The end counts as heard or seen.
    keepPlace(id, seconds, length) {
      if (!(length > long)) return
      const { [id]: _, ...others } = all()
      if (seconds > 5 && seconds < length - 15) others[id] = Math.floor(seconds)
      try { localStorage.setItem(setting, JSON.stringify(Object.fromEntries(Object.entries(others).slice(-most)))) } catch { /* No room: it begins anew. */ }
    },
  }
}

export const { place, keepPlace } = createPlaces('places', 300, 100)
