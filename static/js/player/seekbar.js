import { clock } from '../content.js'
import { make } from '../elements.js'

// The place in the film: a slider over a drawn line, and what is at the place that is pointed at.
const KNOB = 7

function gradient(buffered, length) {
  const stops = []
  for (let n = 0; n < buffered.length; n++) {
    const [from, to] = [buffered.start(n), buffered.end(n)].map((seconds) => `${(100 * seconds) / length}%`)
    stops.push(`transparent ${from}, var(--player-loaded) ${from} ${to}, transparent ${to}`)
  }
  return stops.length ? `linear-gradient(90deg, ${stops.join(', ')})` : 'none'
}

export function createSeekbar(video, film, { onSeek }) {
  const element = make('div', 'player-seek')
  const line = make('span', 'player-line')
  const range = make('input', 'player-range')
  Object.assign(range, { type: 'range', min: 0, step: 'any', value: 0 })
  range.setAttribute('aria-label', 'Place in the video')
  const [picture, words] = [make('span', 'player-tile'), make('b', 'player-moment')]
  const tip = make('span', 'player-tip', picture, words)
  tip.setAttribute('aria-hidden', 'true')
  tip.hidden = true
  element.append(line, range, tip)
  let isHeld = false

  const length = () => Number.isFinite(video.duration) ? video.duration : film.duration

  function show() {
    const whole = length() || 1
    range.max = whole
    if (!isHeld) range.value = film.start && !video.readyState ? film.start : video.currentTime
    line.style.setProperty('--done', `${(100 * range.value) / whole}%`)
    const words = `${clock(Math.floor(range.value))} of ${clock(length())}`
    if (range.getAttribute('aria-valuetext') !== words) range.setAttribute('aria-valuetext', words)
  }

  function showLoaded() {
    line.style.setProperty('--loaded', gradient(video.buffered, length() || 1))
  }

  function showTile(seconds) {
    const board = film.storyboard
    picture.hidden = !board
    if (!board) return
    const number = Math.min(board.count - 1, Math.floor(seconds / board.interval))
    const [column, row] = [number % board.columns, Math.floor(number / board.columns)]
    Object.assign(picture.style, {
      width: `${board.tile_width}px`,
      height: `${board.tile_height}px`,
      backgroundImage: `url("${board.url}")`,
      backgroundPosition: `${-column * board.tile_width}px ${-row * board.tile_height}px`,
    })
    picture.dataset.tile = number
  }

  function point(seconds) {
    const whole = length() || 1
    const place = Math.min(Math.max(0, seconds), whole)
    showTile(place)
    words.textContent = clock(Math.floor(place))
    tip.hidden = false
    const width = element.clientWidth
    const middle = KNOB + (place / whole) * (width - 2 * KNOB)
    const half = tip.offsetWidth / 2
    tip.style.left = `${Math.min(Math.max(middle, half), Math.max(half, width - half))}px`
  }

  const unpoint = () => { tip.hidden = !range.matches(':focus-visible') && !isHeld }

  element.addEventListener('pointermove', (event) => {
    if (event.pointerType === 'touch' && !isHeld) return
    const box = element.getBoundingClientRect()
    point(((event.clientX - box.left - KNOB) / (box.width - 2 * KNOB)) * length())
  })
  element.addEventListener('pointerleave', unpoint)
  range.addEventListener('pointerdown', () => { isHeld = true })
  for (const name of ['pointerup', 'pointercancel', 'change']) {
    range.addEventListener(name, () => {
      isHeld = false
      unpoint()
    })
  }
  range.addEventListener('focus', () => range.matches(':focus-visible') && point(Number(range.value)))
  range.addEventListener('blur', () => { tip.hidden = true })
  range.addEventListener('input', () => {
    onSeek(Number(range.value))
    point(Number(range.value))
    show()
  })

  // The place moves smoothly while the line is seen, by the clock of the screen.
  let frame
  const run = () => {
    show()
    frame = video.paused ? undefined : requestAnimationFrame(run)
  }
  video.addEventListener('play', () => { frame ??= requestAnimationFrame(run) })
  for (const name of ['timeupdate', 'loadedmetadata', 'seeking', 'seeked', 'durationchange']) video.addEventListener(name, show)
  for (const name of ['progress', 'seeked', 'loadedmetadata', 'timeupdate']) video.addEventListener(name, showLoaded)
  video.addEventListener('seeking', () => range.matches(':focus-visible') && point(video.currentTime))
  show()
  return { element, range }
}
