// Captions are drawn by the browser. While the controls are seen, they stand above them.
// How high one line is at least, in pixels, and as a share of the picture; player.css sets the former.
const LEAST = 14 * 1.35
const SHARE = 0.05 * 1.35

export function createTracks(video, isOn) {
  let height = 0
  const find = () => [...video.textTracks].find(({ kind }) => kind === 'captions' || kind === 'subtitles')

  function place() {
    const track = find()
    if (track?.mode !== 'showing' || !track.cues) return
    const lines = height && Math.ceil(height / Math.max(LEAST, video.clientHeight * SHARE))
    let hasMoved = false
    for (const cue of track.cues) {
      const wanted = lines ? -(lines + cue.text.split('\n').length) : 'auto'
      if (cue.line === wanted) continue
      cue.line = wanted
      hasMoved = true
    }
    if (!hasMoved) return
    // What is shown already is drawn anew.
    track.mode = 'hidden'
    track.mode = 'showing'
  }

  video.querySelector('track')?.addEventListener('load', place)
  const tracks = {
    find,
    set(isOn) {
      const track = find()
      if (track) track.mode = isOn ? 'showing' : 'disabled'
      place()
    },
    lift(pixels) {
      height = pixels
      place()
    },
  }
  tracks.set(isOn)
  return tracks
}
