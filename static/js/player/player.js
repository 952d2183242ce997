import { clock, icon } from '../content.js'
import { button, make } from '../elements.js'
import { describe } from './film.js'
import { watchGrowth } from './growth.js'
import * as keys from './keys.js'
import { copyAddress } from './links.js'
import { places, wish, wishes } from './memory.js'
import { createMenu, SPEEDS } from './menu.js'
import { createSay } from './say.js'
import { createSeekbar } from './seekbar.js'
import { nearest } from './sizes.js'
import { createStream } from './stream.js'
import { createSurface } from './surface.js'
import { createTracks } from './tracks.js'
import { createVolume } from './volume.js'
import { createScreens } from './screens.js'

// The controls of one film around the browser's own <video>. Comes when somebody wants the film; returns what may be
// asked of it: `play(at)`.
export function mount(figure) {
  const video = figure.querySelector('video')
  const film = describe(figure, video)
  const chosen = wishes()
  const say = createSay({
    onRetry: () => {
      stream.retry()
      focus()
    },
    onAgain: () => {
      player.jump(0)
      focus()
    },
  })
  const stream = createStream(video, film, {
    wanted: chosen.quality,
    onSizes: () => player.menu.refresh(),
    onFailure: () => say.trouble(video.error),
  })
  const tracks = createTracks(video, chosen.captions)
  const player = {
    video,
    film,
    stream,
    length: () => Number.isFinite(video.duration) ? video.duration : film.duration,

    play(at) {
      film.end = at === undefined ? film.end : undefined
      if (!stream.isOpen) {
        const left = at === undefined && !film.start ? places.place(film.id) : 0
        if (left) say.offer(left)
        stream.begin(at ?? (film.start || left))
        return
      }
      if (at !== undefined) player.jump(at)
      video.play().catch(() => {})
    },
    toggle() {
      if (video.paused) video.play().catch(() => {})
      else video.pause()
    },
    jump(seconds) {
      const place = Math.min(Math.max(0, seconds), player.length() || 0)
      if (film.end !== undefined && place >= film.end) film.end = undefined
      video.currentTime = place
    },
    skip(seconds) {
      player.jump(video.currentTime + seconds)
      say.note(`${seconds < 0 ? '−' : '+'}${Math.abs(seconds)} s`)
    },
    setSpeed(speed) {
      video.defaultPlaybackRate = speed
      video.playbackRate = speed
      wish({ speed })
    },
    turnSpeed(by) {
      const now = SPEEDS.indexOf(video.playbackRate)
      const speed = SPEEDS[Math.min(Math.max(0, (now < 0 ? 2 : now) + by), SPEEDS.length - 1)]
      player.setSpeed(speed)
      player.menu.refresh()
      say.note(`${speed}×`)
    },
    turnVolume(by) {
      video.muted = false
      video.volume = Math.min(1, Math.max(0, Math.round((video.volume + by) * 10) / 10))
      say.note(`Volume ${Math.round(video.volume * 100)} %`)
    },
    toggleMute() {
      video.muted = !video.muted
      say.note(video.muted ? 'Sound off' : 'Sound on')
    },
    chooseSize(name) {
      wish({ quality: name })
      stream.choose(name)
      figure.classList.toggle('sound-only', stream.isSound)
    },
    playingSize() {
      const short = Math.min(video.videoWidth, video.videoHeight)
      return short ? `${short}p` : ''
    },
    nearestSize: () => nearest(stream.sizes, stream.wanted)?.name,
    track: tracks.find,
    setCaptions(isOn) {
      wish({ captions: isOn })
      tracks.set(isOn)
      captions.setAttribute('aria-pressed', isOn)
    },
    toggleCaptions() {
      const track = tracks.find()
      if (!track) return say.note('No captions')
      player.setCaptions(track.mode !== 'showing')
      player.menu.refresh()
      say.note(track.mode === 'showing' ? `Captions · ${track.label}` : 'Captions off')
    },
    liftCaptions: (isUp) => tracks.lift(isUp ? bar.offsetHeight : 0),
    async copyLink() {
      const at = Math.floor(video.currentTime)
      const isCopied = await copyAddress(`${film.address}?t=${at}`)
      say.note(isCopied ? `Link to ${clock(at)} copied` : 'The link could not be copied')
    },
    showKeys: keys.help,
  }
  const screens = createScreens(figure, video)
  Object.assign(player, { toggleFull: screens.toggleFull, togglePip: screens.togglePip, wantsPip: screens.wantsPip })

  const play = button('player-button', 'play', 'Play')
  const time = make('span', 'player-time')
  const captions = button('player-button', 'cc', 'Captions')
  const settings = button('player-button', 'settings', 'Settings of the video')
  player.menu = createMenu(settings, player)
  const seekbar = createSeekbar(video, film, { onSeek: seekCalmly(video, player) })
  const row = make('div', 'player-row', play, createVolume(video, chosen), time, make('span', 'player-push'), captions, settings, ...screens.buttons)
  const bar = make('div', 'player-bar', seekbar.element, row)
  figure.append(make('div', 'player', say.element, bar, player.menu.element))
  figure.setAttribute('role', 'group')
  figure.setAttribute('aria-label', video.getAttribute('aria-label'))

  function show() {
    play.replaceChildren(icon(video.paused ? 'play' : 'pause'))
    play.setAttribute('aria-label', video.paused ? 'Play' : 'Pause')
    figure.classList.toggle('paused', video.paused)
  }
  const showTime = () => {
    const words = `${clock(Math.floor(video.currentTime))} / ${clock(player.length())}`
    if (time.textContent !== words) time.textContent = words
  }
  const showTracks = () => {
    captions.hidden = !tracks.find()
    captions.setAttribute('aria-pressed', tracks.find()?.mode === 'showing')
  }
  const keep = () => video.readyState && places.keepPlace(film.id, video.currentTime, player.length())

  const focus = () => play.focus({ preventScroll: true })

  play.addEventListener('click', player.toggle)
  captions.addEventListener('click', player.toggleCaptions)
  for (const name of ['play', 'pause', 'ended']) video.addEventListener(name, show)
  for (const name of ['timeupdate', 'loadedmetadata', 'seeking', 'durationchange']) video.addEventListener(name, showTime)
  video.addEventListener('timeupdate', () => {
    if (film.end === undefined || video.currentTime < film.end) return
    film.end = undefined
    video.pause()
  })
  video.addEventListener('loadedmetadata', () => {
    say.calm()
    tracks.set(wishes().captions)
    figure.classList.toggle('sound-only', stream.isSound)
  })
  video.addEventListener('resize', () => player.menu.refresh())
  video.addEventListener('waiting', () => figure.classList.add('waiting'))
  for (const name of ['playing', 'seeked', 'pause', 'error']) video.addEventListener(name, () => figure.classList.remove('waiting'))
  let kept = 0
  video.addEventListener('timeupdate', () => {
    if (Math.abs(video.currentTime - kept) < 5) return
    kept = video.currentTime
    keep()
  })
  for (const name of ['pause', 'ended']) video.addEventListener(name, keep)
  addEventListener('pagehide', keep)
  keys.listen(figure, player)
  createSurface(figure, player)
  watchGrowth(figure, player, showTracks)
  player.setSpeed(chosen.speed)
  show()
  showTime()
  showTracks()
  if (figure.contains(document.activeElement) || document.activeElement === document.body) focus()
  return { play: player.play }
}

// One seek at a time: while one is under way, only the newest wish is kept.
function seekCalmly(video, player) {
  let next
  video.addEventListener('seeked', () => {
    if (next === undefined) return
    player.jump(next)
    next = undefined
  })
  return (seconds) => {
    if (video.seeking) next = seconds
    else player.jump(seconds)
  }
}
