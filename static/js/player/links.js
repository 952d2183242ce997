import { make } from '../elements.js'

// Where the clipboard is not to be had (plain http), the old way; `false` when neither works.
export async function copyAddress(address) {
  try {
    await navigator.clipboard.writeText(address)
    return true
  } catch {
    const field = make('textarea', 'unseen')
    field.value = address
    const before = document.activeElement
    ;(document.fullscreenElement ?? document.body).append(field)
    field.select()
    const isCopied = document.execCommand('copy')
    field.remove()
    before?.focus()
    return isCopied
  }
}
