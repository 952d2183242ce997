import { report } from './beacons.js'

// What is heard: one sound at a time, by one element that stays while players and pages come and go.
const setting = 'sound-speed'
export const speeds = [0.75, 1, 1.25, 1.5, 1.75, 2]
export const audio = document.createElement('audio')
audio.preload = 'none'

// { id, title, by, link, art, length, sources, wave } of the sound that is on, and the element of the post it came from.
let sound = null
let from = null
let tried = 0
let wanted = ''

export const heard = () => sound
export const speed = () => speeds.find((one) => String(one) === localStorage.getItem(setting)) ?? 1
export const length = () => Number.isFinite(audio.duration) ? audio.duration : sound?.length ?? 0

// A place in the address counts from the first moment on, before anything is known of the file.
function load(moment) {
  audio.src = sound.sources[tried] + (moment && `#${moment}`)
  audio.defaultPlaybackRate = audio.playbackRate = speed()
}

// Puts a sound on. A moment is `t=5`, `t=5,9` (from, to, in seconds) or nothing.
export function put(next, moment = '', post = null) {
  if (!audio.isConnected) document.body.append(audio)
  sound = next
  from = post
  tried = 0
  wanted = moment
  load(moment)
  audio.dispatchEvent(new Event('soundchange'))
}

export function take() {
  audio.pause()
  sound = from = null
  audio.removeAttribute('src')
  audio.load()
  audio.dispatchEvent(new Event('soundchange'))
}

// Refused where nobody has touched the page yet, or broken off by the next sound.
export const play = () => audio.play().then(() => true, () => false)

export function go(seconds) {
  audio.currentTime = Math.min(Math.max(0, seconds), length() || seconds)
}

export function setSpeed(value) {
  localStorage.setItem(setting, value)
  audio.defaultPlaybackRate = audio.playbackRate = speed()
  audio.dispatchEvent(new Event('soundchange'))
}

// Once for each time that somebody put it on; going on after a pause is nothing new.
audio.addEventListener('play', () => {
  if (from) report(from, 'play')
  from = null
})
audio.addEventListener('error', async () => {
  if (!sound || !audio.getAttribute('src')) return
  const moment = audio.currentTime ? `t=${audio.currentTime}` : wanted
  if (++tried < sound.sources.length) { load(moment); return play() }
  const { toast } = await import('./toasts.js')
  toast(navigator.onLine ? 'This sound cannot be played here.' : 'You are offline. The sound goes on when you are back.')
  tried = 0
  audio.dispatchEvent(new Event('soundchange'))
})
