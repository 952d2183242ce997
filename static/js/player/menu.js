import { icon } from '../content.js'
import { make } from '../elements.js'

// One sheet with everything that is chosen seldom: size, speed, captions, and what can be taken away.
export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2]
let count = 0

function choices(title, name, options, chosen, onChoose) {
  const field = make('fieldset', 'player-choices', make('legend', '', title))
  for (const { value, label } of options) {
    const input = make('input')
    Object.assign(input, { type: 'radio', name, value, checked: value === chosen })
    input.addEventListener('change', () => onChoose(value))
    field.append(make('label', 'player-choice', input, make('span', '', label)))
  }
  return field
}

function toggle(label, isOn, onChange) {
  const input = make('input')
  Object.assign(input, { type: 'checkbox', checked: isOn })
  input.setAttribute('role', 'switch')
  input.addEventListener('change', () => onChange(input.checked))
  return make('label', 'player-switch', make('span', '', label), input)
}

function entry(tag, name, label) {
  const made = make(tag, 'player-entry', icon(name, 's'), make('span', '', label))
  if (tag === 'button') made.type = 'button'
  return made
}

export function createMenu(opener, player) {
  const { video, film, stream } = player
  const number = ++count
  const element = make('div', 'player-menu')
  element.id = `player-menu-${number}`
  element.hidden = true
  element.setAttribute('role', 'group')
  element.setAttribute('aria-label', 'Settings of the video')
  opener.setAttribute('aria-expanded', 'false')
  opener.setAttribute('aria-controls', element.id)

  function sizes() {
    if (!stream.sizes.length) return []
    const playing = player.playingSize()
    const auto = stream.wanted === 'auto' && playing ? `Auto · ${playing}` : 'Auto'
    const options = [{ value: 'auto', label: auto }, ...stream.sizes.map(({ name, label }) => ({ value: name, label }))]
    const chosen = options.some(({ value }) => value === stream.wanted) ? stream.wanted : player.nearestSize() ?? 'auto'
    return [choices('Quality', `quality-${number}`, options, chosen, player.chooseSize)]
  }

  function fill() {
    const speeds = SPEEDS.map((value) => ({ value, label: `${value}×` }))
    const track = player.track()
    const download = entry('a', 'down', 'Download')
    Object.assign(download, { href: film.mp4, download: '' })
    const copy = entry('button', 'link', 'Copy link to this moment')
    copy.addEventListener('click', () => { close(true); player.copyLink() })
    const keys = entry('button', 'keyboard', 'Keyboard shortcuts')
    keys.addEventListener('click', () => { close(true); player.showKeys() })
    const entries = make('div', 'player-entries', copy, download)
    if (player.wantsPip()) {
      const small = entry('button', 'pip', 'Picture in picture')
      small.addEventListener('click', () => { close(true); player.togglePip() })
      entries.append(small)
    }
    entries.append(keys)
    const switches = [
      ...(track ? [toggle(`Captions · ${track.label}`, track.mode === 'showing', player.setCaptions)] : []),
      toggle('Loop', video.loop, (isOn) => { video.loop = isOn }),
    ]
    const chosenSpeed = SPEEDS.includes(video.playbackRate) ? video.playbackRate : 1
    element.replaceChildren(
      ...sizes(),
      choices('Speed', `speed-${number}`, speeds, chosenSpeed, player.setSpeed),
      make('div', 'player-switches', ...switches),
      entries,
    )
  }

  // Beside its button, wherever the page moves; on a narrow screen a sheet at the foot of the window.
  const isSheet = () => innerWidth <= 720

  function place() {
    Object.assign(element.style, { left: '', bottom: '', maxHeight: '' })
    if (isSheet()) return
    const box = opener.getBoundingClientRect()
    const edge = opener.closest('.film').getBoundingClientRect().right
    element.style.left = `${Math.max(8, edge - 8 - element.offsetWidth)}px`
    element.style.bottom = `${innerHeight - box.top + 8}px`
    element.style.maxHeight = `${Math.max(160, box.top - 16)}px`
  }

  function open() {
    fill()
    element.hidden = false
    place()
    opener.setAttribute('aria-expanded', 'true')
    element.querySelector('input:checked, input, button').focus({ preventScroll: true })
    document.addEventListener('pointerdown', closeOutside, true)
    addEventListener('scroll', place, { passive: true })
    addEventListener('resize', place)
  }

  function close(givesFocusBack = false) {
    if (element.hidden) return
    element.hidden = true
    opener.setAttribute('aria-expanded', 'false')
    document.removeEventListener('pointerdown', closeOutside, true)
    removeEventListener('scroll', place)
    removeEventListener('resize', place)
    if (givesFocusBack) opener.focus({ preventScroll: true })
  }

  const closeOutside = (event) => element.contains(event.target) || opener.contains(event.target) || close()
  element.addEventListener('focusout', (event) => {
    if (event.relatedTarget && !element.contains(event.relatedTarget) && event.relatedTarget !== opener) close()
  })
  opener.addEventListener('click', () => element.hidden ? open() : close(true))

  return {
    element,
    close,
    get isOpen() { return !element.hidden },
    // What Auto plays, and sizes that have come, are shown while one looks; the focus stays where it was.
    refresh() {
      if (element.hidden) return
      const [name, value] = [document.activeElement?.name, document.activeElement?.value]
      const hadFocus = element.contains(document.activeElement)
      fill()
      if (!hadFocus) return
      const again = name && [...element.querySelectorAll('input')].find((input) => input.name === name && input.value === value)
      ;(again ?? element.querySelector('input, button')).focus()
    },
  }
}
