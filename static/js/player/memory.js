import { createPlaces } from '../places.js'

// What a person wants of every player, and where they left films of more than two minutes. Kept in this browser alone.
const setting = 'film-player'
export const places = createPlaces('film-places', 120, 200)

function read() {
  try { return JSON.parse(localStorage.getItem(setting)) ?? {} } catch { return {} }
}

export const wishes = () => ({ volume: 1, muted: false, captions: false, quality: 'auto', speed: 1, ...read() })

export function wish(changes) {
  try { localStorage.setItem(setting, JSON.stringify({ ...read(), ...changes })) } catch { /* Where nothing may be kept, every film begins as it comes. */ }
}
