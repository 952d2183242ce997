// Questions that HTMX brings into #dialog open as a modal dialog; without scripts they are pages of their own.
const dialog = document.getElementById('dialog')
let opener

document.addEventListener('htmx:before:request', (event) => {
  const source = event.detail.ctx?.sourceElement
  if (source?.getAttribute('hx-target') === '#dialog') opener = source.closest('details')?.querySelector('summary') ?? source
})
document.addEventListener('htmx:after:swap', (event) => {
  const target = event.detail.ctx?.target
  if (target === dialog && dialog.childElementCount && !dialog.open) dialog.showModal()
  if (event.detail.ctx?.sourceElement?.matches?.('[data-closes]') && dialog.open) dialog.close()
})
dialog.addEventListener('click', (event) => {
  if (event.target === dialog || event.target.closest('[data-close]')) {
    event.preventDefault()
    dialog.close()
  }
})
dialog.addEventListener('close', () => {
  dialog.replaceChildren()
  if (opener?.isConnected) opener.focus()
  else document.getElementById('main').focus()
  opener = undefined
})
