import { clock, fresh } from './content.js'
import { audio, go, heard, length, play, put, setSpeed, speed } from './hearing.js'
import { keepPlace, place } from './places.js'

// The players of sounds on this page. What is heard itself is in hearing.js and goes on without them.
const steps = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -5, ArrowUp: 5, PageDown: -30, PageUp: 30 }

// The part that was heard is the same waveform once more, cut off where one is.
export function colour(track) {
  const wave = track.querySelector('.wave')
  const done = wave.cloneNode(true)
  done.classList.add('done')
  track.querySelector('.wave.done')?.remove()
  wave.after(done)
}

// A waveform that is sought by pointer and by keyboard. `where` gives { at, length }; `move` goes to a second. Returns what shows
// the place, and says which it is.
export function slide(track, where, move) {
  const seek = track.querySelector('.seek')
  seek.hidden = false
  let held = null
  const at = (event) => {
    const { left, width } = track.getBoundingClientRect()
    return Math.min(Math.max(0, (event.clientX - left) / width), 1) * where().length
  }
  const show = () => {
    const { at: now, length: whole } = where()
    const seconds = held ?? now
    seek.max = whole
    seek.value = seconds
    seek.setAttribute('aria-valuetext', `${clock(seconds)} of ${clock(whole)}`)
    track.style.setProperty('--done', whole ? `${Math.min(100, (100 * seconds) / whole)}%` : '0%')
    return seconds
  }
  const hold = (event) => { held = at(event); track.dispatchEvent(new Event('hold')) }
  track.addEventListener('pointerdown', (event) => {
    if (event.button || !where().length) return
    track.setPointerCapture(event.pointerId)
    hold(event)
  })
  track.addEventListener('pointermove', (event) => held !== null && hold(event))
  track.addEventListener('pointerup', (event) => {
    if (held === null) return
    const to = at(event)
    held = null
    move(to, true)
    seek.focus({ preventScroll: true })
  })
  // A finger that scrolls the page wants nothing here.
  track.addEventListener('pointercancel', () => { held = null; track.dispatchEvent(new Event('hold')) })
  seek.addEventListener('input', () => move(Number(seek.value)))
  seek.addEventListener('keydown', (event) => {
    if (!steps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    move(where().at + steps[event.key])
  })
  return show
}

// Plays and seeks one sound of the page, as a media element would, whether or not it is the one that is heard.
class Player extends EventTarget {
  constructor(box) {
    super()
    this.box = box
    const { sound: id, title, by, link, art, length: seconds } = box.dataset
    const sources = [...box.querySelectorAll('source')].filter((source) => audio.canPlayType(source.type)).map((source) => source.src.split('#'))
    const wave = box.querySelector('.wave').outerHTML
    this.sound = { id, title, by, link, art, length: Number(seconds), sources: sources.map(([address]) => address), wave }
    this.moment = sources[0]?.[1]
    this.at = this.moment ? parseFloat(this.moment.slice(2)) || 0 : Math.min(place(id), this.sound.length)
    this.build()
  }

  get isOn() { return heard()?.id === this.sound.id }
  get length() { return this.isOn ? length() : this.sound.length }
  get readyState() { return 4 }
  get currentTime() { return this.isOn ? audio.currentTime : this.at }

  set currentTime(seconds) {
    if (this.isOn) return go(seconds)
    this.at = Math.min(Math.max(0, seconds), this.sound.length)
    this.moment = undefined
    this.show()
  }

  play() {
    if (!this.isOn) put(this.sound, this.moment ?? (this.at ? `t=${this.at}` : ''), this.box.closest('[data-post]'))
    return play()
  }

  build() {
    const { box } = this
    const [toggle, speeds, native] = ['.toggle', '.speed', 'audio'].map((part) => box.querySelector(part))
    Object.assign(this, { toggle, speeds, now: box.querySelector('.at') })
    toggle.addEventListener('click', () => this.isOn && !audio.paused ? audio.pause() : this.play())
    speeds.addEventListener('change', () => setSpeed(speeds.value))
    const track = box.querySelector('.track')
    colour(track)
    this.slide = slide(track, () => ({ at: this.currentTime, length: this.length }), (seconds, isPointed) => {
      this.currentTime = seconds
      if (isPointed && !this.isOn) this.play()
    })
    track.addEventListener('hold', () => this.show())
    native.controls = false
    native.hidden = true
    toggle.hidden = box.querySelector('.clock').hidden = false
    box.classList.add('ready')
    this.show()
  }

  show() {
    const isPlaying = this.isOn && !audio.paused
    this.box.classList.toggle('on', isPlaying)
    this.toggle.setAttribute('aria-label', `${isPlaying ? 'Pause' : 'Play'} ${this.sound.title}`)
    this.speeds.value = speed()
    this.now.textContent = clock(this.slide())
  }
}

const players = () => [...document.querySelectorAll('[data-sound]')].map((box) => box.player).filter(Boolean)

for (const name of ['timeupdate', 'loadedmetadata', 'seeked', 'play', 'pause', 'ended']) {
  audio.addEventListener(name, () => {
    for (const player of players()) {
      if (!player.isOn) continue
      player.show()
      player.dispatchEvent(new Event(name))
    }
  })
}

// The sound before stays where it stopped.
let before
audio.addEventListener('soundchange', () => {
  for (const player of players()) {
    if (before?.id === player.sound.id) player.at = before.at
    player.show()
  }
  before = undefined
})

let kept = 0
function remember() {
  const sound = heard()
  if (!sound || !audio.currentTime) return
  before = { id: sound.id, at: audio.ended ? 0 : audio.currentTime }
  if (Math.abs(audio.currentTime - kept) < 5 && !audio.paused) return
  kept = audio.currentTime
  keepPlace(sound.id, kept, length())
}
for (const name of ['timeupdate', 'pause', 'seeked']) audio.addEventListener(name, remember)
addEventListener('pagehide', remember)

// The small player comes with the first sound that is heard, and with one that was on when the page before was left.
const bring = () => import('./mini.js').catch(() => {})
audio.addEventListener('play', bring, { once: true })
if (sessionStorage.getItem('heard')) bring()

export function start(root) {
  for (const box of fresh(root, '[data-sound]', 'sound')) box.player = new Player(box)
}
