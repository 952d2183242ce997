import { clock, icon, onContent } from './content.js'
import { audio, go, heard, length, play, put, take } from './hearing.js'
import { colour, slide } from './sound.js'
import './pages.js'

// The small player at the foot of the page: what is heard while its own player is out of sight, on this page or on the next.
const setting = 'heard'
const fresh = 10_000

function build() {
  const made = document.createElement('section')
  made.className = 'mini'
  made.hidden = true
  made.setAttribute('aria-label', 'Sound')
  made.innerHTML = `<div class="mini-art"></div><p class="mini-what"><a></a><span></span></p><button class="mini-toggle" type="button"></button>
    <div class="track"><input class="seek" type="range" min="0" step="0.1" aria-label="Place in the sound"></div><span class="mini-at"></span><button class="mini-close" type="button" aria-label="Close the player"></button>`
  made.querySelector('.mini-toggle').append(icon('play', 'play'), icon('pause', 'pause'))
  made.querySelector('.mini-close').append(icon('close'))
  document.body.append(made)
  return made
}

const bar = build()
const part = (name) => bar.querySelector(name)
const showPlace = slide(part('.track'), () => ({ at: audio.currentTime, length: length() }), go)
let box
let isInSight = false

// The bar comes when what plays is out of sight, and stays until it is closed or its own player is there again.
function showBar() {
  const isWanted = Boolean(heard()) && !isInSight && (!audio.paused || !bar.hidden)
  if (bar.hidden !== isWanted) return
  const hadFocus = bar.contains(document.activeElement)
  bar.hidden = !isWanted
  if (hadFocus && !isWanted) (box?.querySelector('.toggle') ?? document.getElementById('main'))?.focus({ preventScroll: true })
}

function showTime() {
  if (bar.hidden) return
  part('.mini-at').textContent = `${clock(showPlace())} / ${clock(length())}`
}

function showState() {
  bar.classList.toggle('on', !audio.paused)
  part('.mini-toggle').setAttribute('aria-label', `${audio.paused ? 'Play' : 'Pause'} ${heard()?.title ?? ''}`)
  showBar()
  showTime()
}

function showSound() {
  const sound = heard()
  if (sound) {
    const [link, by] = part('.mini-what').children
    link.textContent = sound.title
    link.href = sound.link
    by.textContent = sound.by
    const art = part('.mini-art')
    art.replaceChildren(sound.art ? Object.assign(new Image(), { src: sound.art, alt: '' }) : icon('audio'))
    const track = part('.track')
    track.querySelectorAll('.wave').forEach((wave) => wave.remove())
    track.insertAdjacentHTML('afterbegin', sound.wave)
    colour(track)
  }
  lookFor()
  showState()
}

const sight = new IntersectionObserver((entries) => {
  isInSight = entries.at(-1).isIntersecting
  showBar()
  showTime()
}, { rootMargin: '-8px 0px -72px', threshold: 0.4 })

// The player of this sound on the page, if it has one.
function lookFor() {
  const found = heard() && document.querySelector(`[data-sound="${CSS.escape(heard().id)}"]`)
  if (found === box) return
  if (box) sight.unobserve(box)
  box = found
  isInSight = Boolean(box) // Until it is known: a bar that comes and goes at once is worse than one that comes late.
  if (box) sight.observe(box)
  else showState()
}

function close() {
  forget()
  const hadFocus = bar.contains(document.activeElement)
  take()
  if (hadFocus) document.getElementById('main')?.focus({ preventScroll: true })
}

// Keys of the keyboard and of the lock screen.
const session = navigator.mediaSession
const actions = {
  play,
  pause: () => audio.pause(),
  stop: close,
  seekbackward: ({ seekOffset = 10 }) => go(audio.currentTime - seekOffset),
  seekforward: ({ seekOffset = 10 }) => go(audio.currentTime + seekOffset),
  seekto: ({ seekTime }) => go(seekTime),
}

function tell() {
  const sound = heard()
  if (!session) return
  session.metadata = sound && new MediaMetadata({ title: sound.title, artist: sound.by, artwork: sound.art ? [{ src: new URL(sound.art, location).href }] : [] })
  for (const [name, action] of Object.entries(actions)) {
    try { session.setActionHandler(name, sound ? action : null) } catch { /* An action this browser does not know. */ }
  }
}

function tellPlace() {
  if (!Number.isFinite(audio.duration)) return
  session?.setPositionState?.({ duration: audio.duration, playbackRate: audio.playbackRate, position: Math.min(audio.currentTime, audio.duration) })
}

// A page that comes the ordinary way (a form was sent, an older browser went back) finds what was on, and goes on with it.
function leaveNote() {
  if (!heard() || (audio.paused && bar.hidden)) return
  const note = { sound: heard(), at: audio.currentTime, isPlaying: !audio.paused, viewer: document.body.dataset.viewer, when: Date.now() }
  sessionStorage.setItem(setting, JSON.stringify(note))
  audio.pause()
}

function forget() {
  sessionStorage.removeItem(setting)
}

function takeNote() {
  const note = JSON.parse(sessionStorage.getItem(setting) ?? 'null')
  forget()
  if (!note || note.viewer !== document.body.dataset.viewer) return false
  put(note.sound, note.at ? `t=${note.at}` : '')
  audio.preload = 'metadata'
  audio.currentTime = note.at
  bar.hidden = isInSight
  if (note.isPlaying && Date.now() - note.when < fresh) play()
  return true
}

part('.mini-toggle').addEventListener('click', () => audio.paused ? play() : audio.pause())
part('.mini-close').addEventListener('click', close)
part('.track').addEventListener('hold', showTime)
for (const name of ['timeupdate', 'seeked', 'loadedmetadata']) audio.addEventListener(name, showTime)
for (const name of ['play', 'pause', 'ended']) audio.addEventListener(name, showState)
for (const name of ['play', 'seeked', 'loadedmetadata', 'ratechange']) audio.addEventListener(name, tellPlace)
audio.addEventListener('play', tell)
audio.addEventListener('soundchange', showSound)
audio.addEventListener('soundchange', tell)
addEventListener('pagehide', leaveNote)
addEventListener('pageshow', (event) => event.persisted && !takeNote() && heard() && close())
document.addEventListener('submit', (event) => event.target.action?.endsWith('/logout') && close())

if (!takeNote()) {
  showSound()
  tell()
}
onContent(lookFor)
