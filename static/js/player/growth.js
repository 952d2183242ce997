import { make } from '../elements.js'

// Sizes, storyboard and captions that are made while the film is watched join it without a reload.
const [PAUSE, MOST] = [3000, 30_000]

export function watchGrowth(figure, { video, film, stream }, onTrack) {
  if (!film.isGrowing || !film.post) return

  function addTrack({ captions_url: src, language }) {
    if (!src || video.querySelector('track')) return
    const name = language ? new Intl.DisplayNames(['en'], { type: 'language' }).of(language) : 'Captions'
    const track = make('track')
    Object.assign(track, { kind: 'captions', src, srclang: language ?? 'und', label: name })
    video.append(track)
    onTrack()
  }

  async function look() {
    if (!figure.isConnected) return
    const answer = await fetch(`/api/v1/posts/${film.post}`).catch(() => null)
    const post = answer?.ok ? await answer.json() : undefined
    const medium = post?.media.find(({ id }) => id === film.id)
    if (medium) {
      film.mp4 = new URL(medium.url, location.href).href
      film.hls = medium.hls_url ?? undefined
      film.storyboard = medium.storyboard ?? film.storyboard
      addTrack(medium)
      await stream.grow()
      if (!post.pending.some((name) => name === 'rendition' || name === 'captions')) return
    }
    wait()
  }

  let pause = PAUSE
  function wait() {
    setTimeout(() => document.hidden ? wait() : look(), pause)
    pause = Math.min(MOST, pause * 1.25)
  }
  wait()
}
