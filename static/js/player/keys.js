import { isOn, showKeys } from '../keys.js'

// Shortcuts for whoever is inside the player; they go before those of the page. Sliders keep the keys that move them.
const HELP = [
  ['Space', 'Play or pause'], ['k', 'Play or pause'], ['← →', '5 seconds back or on'], ['j l', '10 seconds back or on'],
  ['0–9', 'To that tenth of the video'], ['↑ ↓', 'Louder or quieter'], ['m', 'Sound on or off'], ['c', 'Captions on or off'],
  ['&lt; &gt;', 'Slower or faster'], ['i', 'Picture in picture'], ['f', 'Full screen'], ['?', 'This list'],
]

export const help = () => showKeys(HELP, 'Keyboard shortcuts of the player')

export function listen(figure, player) {
  const actions = {
    k: player.toggle,
    j: () => player.skip(-10),
    l: () => player.skip(10),
    ArrowLeft: () => player.skip(-5),
    ArrowRight: () => player.skip(5),
    ArrowUp: () => player.turnVolume(0.1),
    ArrowDown: () => player.turnVolume(-0.1),
    m: player.toggleMute,
    f: player.toggleFull,
    c: player.toggleCaptions,
    i: player.togglePip,
    '<': () => player.turnSpeed(-1),
    '>': () => player.turnSpeed(1),
    '?': help,
  }

  figure.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    const { key, target } = event
    if (key === 'Escape' && player.menu.isOpen) return answer(event, () => player.menu.close(true))
    if (target.closest('.player-menu')) return event.key === 'Escape' || event.stopPropagation()
    if (/^\S$/.test(key) && !isOn()) return
    const isSlider = target.matches('input[type=range]')
    const isPlace = target.matches('.player-range')
    if (key === ' ') return target.closest('button, a') ? event.stopPropagation() : answer(event, player.toggle)
    if (isSlider && !isPlace && key.startsWith('Arrow')) return event.stopPropagation()
    if (isPlace && (key === 'ArrowUp' || key === 'ArrowDown')) return answer(event, () => player.skip(key === 'ArrowUp' ? 5 : -5))
    if (/^[0-9]$/.test(key)) return answer(event, () => player.jump((player.length() * Number(key)) / 10))
    const action = actions[key.length === 1 ? key.toLowerCase() : key]
    if (action) answer(event, action)
  })
}

function answer(event, action) {
  event.preventDefault()
  event.stopPropagation()
  action()
}
