// Chromium's cache in memory (private windows) may end a range at the next 4096 bytes and call it whole:
// https://issues.chromium.org/issues/390229583. hls.js would play on with a hole, so what is short is fetched anew.
const PATIENCE = 20_000

async function fetchRange({ url, rangeStart, rangeEnd }) {
  const headers = { Range: `bytes=${rangeStart}-${rangeEnd - 1}` }
  const answer = await fetch(url, { headers, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) })
  const data = await answer.arrayBuffer()
  if (data.byteLength !== rangeEnd - rangeStart) throw new Error('The range is cut short.')
  return data
}

export const withWholeRanges = (Loader) => class extends Loader {
  #isGone = false

  load(context, config, callbacks) {
    super.load(context, config, { ...callbacks, onSuccess: (response, stats, asked, request) => {
      const isWhole = !context.rangeEnd || response.data.byteLength === context.rangeEnd - context.rangeStart
      if (isWhole) return callbacks.onSuccess(response, stats, asked, request)
      fetchRange(context).then(
        (data) => this.#isGone || callbacks.onSuccess({ ...response, data }, stats, asked, request),
        ({ message }) => this.#isGone || callbacks.onError({ code: 0, text: message }, asked, request, stats),
      )
    } })
  }

  abort() {
    this.#isGone = true
    super.abort()
  }

  destroy() {
    this.#isGone = true
    super.destroy()
  }
}
