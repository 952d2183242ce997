import { freeze } from './frozen.js'
import { withWholeRanges } from './ranges.js'
import { nearest, readSizes } from './sizes.js'

// Where a film's bytes come from: its stream in the size that is wanted, and the whole MP4 where that cannot be played.
// Auto is the master playlist, a size is that size's own; so browsers that play HLS need nothing more. Others get hls.js.
const PLAYLIST = 'application/vnd.apple.mpegurl'
const isNative = (video) => video.canPlayType(PLAYLIST) !== ''

async function attach(video, url, at, onBroken) {
  const { default: Hls } = await import('hls.js/light')
  if (!Hls.isSupported()) throw new Error('Neither HLS nor Media Source Extensions.')
  // No worker: it would be made from a blob, and one thread is enough for what is only copied.
  const loader = withWholeRanges(Hls.DefaultConfig.loader)
  const engine = new Hls({ loader, enableWorker: false, startPosition: at, capLevelToPlayerSize: true, maxBufferLength: 30 })
  engine.on(Hls.Events.ERROR, (_, problem) => problem.fatal && onBroken())
  engine.loadSource(url)
  engine.attachMedia(video)
  return engine
}

export function createStream(video, film, { wanted, onSizes, onFailure }) {
  let sizes = []
  let engine
  let turn = 0
  let isBroken = false
  let at = 0
  let current = ''
  // What a source that fails has stopped was not stopped by anybody.
  let isPlaying = false

  const address = () => {
    if (isBroken || !film.hls) return film.mp4
    return nearest(sizes, wanted)?.url ?? film.hls
  }

  async function open(url, seconds) {
    const mine = ++turn
    freeze(video)
    // The source of the page would be loaded between two of ours.
    video.querySelector('source')?.remove()
    // At its very end there is no picture to show in another size.
    if (video.duration > 1) seconds = Math.min(seconds, video.duration - 0.5)
    engine?.destroy()
    engine = undefined
    at = seconds
    current = url
    if (!url.includes('.m3u8') || isNative(video)) {
      video.src = url
      // Before there is anything to seek in, this is where playing begins; some browsers forget it.
      video.currentTime = seconds
      video.addEventListener('loadedmetadata', () => {
        if (mine === turn && Math.abs(video.currentTime - seconds) > 1) video.currentTime = seconds
      }, { once: true })
    } else {
      try {
        const made = await attach(video, url, seconds, () => mine === turn && giveWay())
        if (mine !== turn) made.destroy()
        else engine = made
      } catch {
        if (mine === turn) giveWay()
        return
      }
    }
    if (mine !== turn) return
    // Another size comes while the film stands still, too.
    video.preload = 'auto'
    if (isPlaying) video.play().catch(() => {})
  }

  function giveWay() {
    if (current === film.mp4) {
      onFailure()
      return
    }
    isBroken = true
    open(film.mp4, at)
    onSizes()
  }

  async function look() {
    if (!film.hls) return
    try {
      sizes = await readSizes(film.hls)
    } catch { /* The film itself will say what is wrong. */ }
    onSizes()
  }

  video.addEventListener('play', () => { isPlaying = true })
  video.addEventListener('pause', () => { if (!video.error) isPlaying = false })
  video.addEventListener('error', () => video.hasAttribute('src') && !engine && giveWay())
  for (const name of ['timeupdate', 'seeking']) {
    video.addEventListener(name, () => { if (video.readyState && !video.error) at = video.currentTime })
  }

  return {
    get sizes() { return isBroken ? [] : sizes },
    get wanted() { return wanted },
    get isSound() { return nearest(this.sizes, wanted)?.name === 'sound' },
    get isOpen() { return current !== '' },

    async begin(seconds) {
      const looking = look()
      if (wanted !== 'auto') await looking
      isPlaying = true
      await open(address(), seconds)
    },

    choose(name) {
      wanted = name
      if (current && address() !== current) open(address(), at)
    },

    // Sizes were made in the meantime. What plays the master playlist must read it again to know of them.
    async grow() {
      const before = sizes.map((size) => size.name).join()
      await look()
      const hasGrown = before !== sizes.map((size) => size.name).join()
      const wantsOther = current === film.hls || (wanted !== 'auto' && address() !== current)
      if (hasGrown && current && !isBroken && wantsOther) open(address(), at)
    },

    async retry() {
      isBroken = false
      isPlaying = true
      await look()
      await open(address(), at)
    },
  }
}
