import { icon } from '../content.js'
import { button, make } from '../elements.js'
import { wish } from './memory.js'

export function createVolume(video, chosen) {
  const mute = button('player-button', 'volume', 'Mute')
  const range = make('input', 'player-range')
  Object.assign(range, { type: 'range', min: 0, max: 1, step: 0.05 })
  range.setAttribute('aria-label', 'Volume')
  const line = make('span', 'player-line')
  const element = make('div', 'player-volume', mute, make('span', 'player-level', line, range))

  function show() {
    const level = video.muted ? 0 : video.volume
    range.value = level
    range.setAttribute('aria-valuetext', `${Math.round(level * 100)} %`)
    line.style.setProperty('--done', `${level * 100}%`)
    mute.replaceChildren(icon(level ? 'volume' : 'muted'))
    mute.setAttribute('aria-label', level ? 'Mute' : 'Unmute')
  }

  mute.addEventListener('click', () => {
    video.muted = !video.muted
    if (!video.muted && !video.volume) video.volume = 0.5
  })
  range.addEventListener('input', () => {
    video.volume = Number(range.value)
    video.muted = false
  })
  Object.assign(video, { volume: chosen.volume, muted: chosen.muted })
  video.addEventListener('volumechange', () => {
    show()
    wish({ volume: video.volume, muted: video.muted })
  })
  show()
  return element
}
