// Captions are drawn by the browser. While the controls are seen, they stand above them.
const LINE = 0.05 * 1.35

export function createTracks(video, isOn) {
  let height = 0
  const find = () => [...video.textTracks].find(({ kind }) => kind === 'captions' || kind === 'subtitles')

  function place() {
    const track = find()
    if (track?.mode !== 'showing' || !track.cues) return
    const lines = height && Math.ceil(height / (video.clientHeight * LINE))
    for (const cue of track.cues) {
      const wanted = lines ? -(lines + cue.text.split('\n').length) : 'auto'
      if (cue.line !== wanted) cue.line = wanted
    }
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
