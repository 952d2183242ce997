// One menu open at a time; Esc and a click elsewhere close it and give the focus back.
function close(menu, focus) {
  menu.open = false
  if (focus) menu.querySelector('summary').focus()
}

document.addEventListener('click', (event) => {
  for (const menu of document.querySelectorAll('details[data-menu][open]')) {
    if (!menu.contains(event.target) || event.target.closest('.sheet a, .sheet button')) close(menu, false)
  }
})
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return
  for (const menu of document.querySelectorAll('details[data-menu][open]')) close(menu, true)
})
